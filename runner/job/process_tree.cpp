#include "runner/job/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "common/os/unique_fd.h"

namespace dstack::runner::job {

namespace {

std::optional<pid_t> parse_pid(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return pid;
}

// "pid (name) state parent group session …"; the name may hold anything, parentheses and spaces too.
std::optional<ProcessEntry> parse_stat(pid_t pid, std::string_view text) {
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 2);
  std::string_view fields[4];
  for (std::string_view& field : fields) {
    const std::size_t end = std::min(text.find(' '), text.size());
    field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto parent = parse_pid(fields[1]);
  const auto session = parse_pid(fields[3]);
  if (fields[0].size() != 1 || !parent || !session) return std::nullopt;
  return ProcessEntry{.pid = pid, .parent = *parent, .session = *session, .state = fields[0][0]};
}

std::optional<ProcessEntry> read_process(int proc, std::string_view name) {
  const auto pid = parse_pid(name);
  if (!pid) return std::nullopt;
  const os::UniqueFd file(::openat(proc, (std::string(name) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[512];  // the fields of interest and a name of at most 64 bytes are at the start
  const ssize_t size = ::read(file.get(), text, sizeof text);
  if (size <= 0) return std::nullopt;
  return parse_stat(*pid, {text, static_cast<std::size_t>(size)});
}

}  // namespace

std::vector<ProcessEntry> find_descendants(pid_t root, const std::vector<pid_t>& except,
                                           const std::filesystem::path& proc) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(proc.c_str()), ::closedir);
  if (!folder) return {};
  std::unordered_map<pid_t, std::vector<ProcessEntry>> children;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (const auto process = read_process(::dirfd(folder.get()), entry->d_name))
      children[process->parent].push_back(*process);
  }
  std::vector<ProcessEntry> found;
  std::vector<pid_t> pending{root};
  while (!pending.empty()) {
    const pid_t parent = pending.back();
    pending.pop_back();
    // Taken out, so that a loop, which two moments seen as one may show, is not followed for ever.
    const auto family = children.extract(parent);
    if (family.empty()) continue;
    for (const ProcessEntry& child : family.mapped()) {
      if (std::ranges::contains(except, child.pid)) continue;
      found.push_back(child);
      pending.push_back(child.pid);
    }
  }
  return found;
}

}  // namespace dstack::runner::job
