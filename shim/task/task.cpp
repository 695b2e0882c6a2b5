#include "shim/task/task.h"

#include <openssl/sha.h>

#include <array>
#include <format>

#include "common/error.h"

namespace dstack::shim::task {

namespace {

constexpr std::array<std::string_view, 6> kNames{"pending",  "preparing", "pulling",
                                                 "creating", "running",   "terminated"};

}  // namespace

std::string_view name_of(TaskStatus status) { return kNames.at(static_cast<std::size_t>(status)); }

std::optional<TaskStatus> parse_status(std::string_view name) {
  for (std::size_t index = 0; index < kNames.size(); ++index) {
    if (kNames[index] == name) return static_cast<TaskStatus>(index);
  }
  return std::nullopt;
}

bool may_become(TaskStatus from, TaskStatus to) {
  if (from == TaskStatus::terminated) return false;
  if (to == TaskStatus::terminated) return true;
  return static_cast<int>(to) == static_cast<int>(from) + 1;
}

void TaskState::become(TaskStatus next) {
  if (!may_become(status, next)) {
    throw Error(ErrorKind::internal,
                std::format("task {} cannot go from {} to {}", printable(config.id), name_of(status), name_of(next)));
  }
  status = next;
}

bool must_be_flushed(const TaskState& before, const TaskState& after) {
  const auto gpus = [](const TaskState& state) { return state.gpu_ids.value_or(std::vector<std::string>{}); };
  return gpus(before) != gpus(after) || before.holds_keys != after.holds_keys ||
         before.holds_volumes != after.holds_volumes || before.gpus_given_back != after.gpus_given_back ||
         before.given_back != after.given_back || before.ending != after.ending || before.removing != after.removing;
}

std::string container_name(std::string_view name, std::string_view id) {
  const std::string text = std::format("{}/{}", name, id);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return std::format("{}-{:02x}{:02x}{:02x}{:02x}", name, digest[0], digest[1], digest[2], digest[3]);
}

}  // namespace dstack::shim::task
