#include "shim/client/find_task.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

// As many as a person reads.
constexpr std::size_t kListed = 10;

template <typename Matches>
const TaskEntry* find_one(const std::vector<TaskEntry>& tasks, std::string_view wanted, const char* what,
                          const Matches& matches) {
  std::vector<const TaskEntry*> found;
  for (const TaskEntry& task : tasks) {
    if (matches(task)) found.push_back(&task);
  }
  if (found.empty()) return nullptr;
  if (found.size() == 1) return found.front();
  std::string list;
  for (const TaskEntry* task : found) {
    list += std::format("\n  {}  {}  {}", legible(task->id), legible(task->name), legible(task->status));
    if (task == found[std::min(kListed, found.size()) - 1]) break;
  }
  if (found.size() > kListed) list += "\n  …";
  throw Error(ErrorKind::conflict,
              std::format("{} is the {} of {} tasks:{}", printable(wanted), what, found.size(), list));
}

}  // namespace

const TaskEntry& find_task(const std::vector<TaskEntry>& tasks, std::string_view wanted) {
  const TaskEntry* found = find_one(tasks, wanted, "id", [wanted](const TaskEntry& task) { return task.id == wanted; });
  if (found == nullptr)
    found = find_one(tasks, wanted, "name", [wanted](const TaskEntry& task) { return task.name == wanted; });
  if (found == nullptr && !wanted.empty()) {
    found = find_one(tasks, wanted, "beginning of the ids",
                     [wanted](const TaskEntry& task) { return task.id.starts_with(wanted); });
  }
  if (found != nullptr) return *found;
  throw Error(ErrorKind::not_found,
              std::format("no task has the id or the name {}; dstack-shim ps lists them", printable(wanted)));
}

std::size_t short_length(const std::vector<TaskEntry>& tasks, std::string_view id) {
  std::size_t length = 8;
  for (const TaskEntry& other : tasks) {
    if (other.id == id) continue;
    const auto common = std::ranges::mismatch(other.id, id).in2 - id.begin();
    length = std::max(length, static_cast<std::size_t>(common) + 1);
  }
  return std::min(length, id.size());
}

}  // namespace dstack::shim::client
