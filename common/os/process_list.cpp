#include "common/os/process_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/unique_fd.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::os {

namespace {

// "pid (name) state parent group session …"; the name may hold anything, parentheses and spaces too.
std::optional<ProcessEntry> parse_stat(pid_t pid, std::string_view text) {
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 2);
  const std::string_view state = text::take_until(text, ' ');
  const auto parent = text::parse_number<pid_t>(text::take_until(text, ' '));
  const auto group = text::parse_number<pid_t>(text::take_until(text, ' '));
  const auto session = text::parse_number<pid_t>(text::take_until(text, ' '));
  if (state.size() != 1 || !parent || !group || !session) return std::nullopt;
  return ProcessEntry{.pid = pid, .parent = *parent, .group = *group, .session = *session, .state = state[0]};
}

std::optional<ProcessEntry> read_process(int proc, std::string_view name) {
  const auto pid = text::parse_number<pid_t>(name);
  if (!pid) return std::nullopt;
  const UniqueFd file(::openat(proc, (std::string(name) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[512];  // the fields of interest and a name of at most 64 bytes are at the start
  const ssize_t size = ::read(file.get(), text, sizeof text);
  if (size <= 0) return std::nullopt;
  return parse_stat(*pid, {text, static_cast<std::size_t>(size)});
}

}  // namespace

std::vector<ProcessEntry> list_processes(const std::filesystem::path& proc) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(proc.c_str()), ::closedir);
  if (!folder) return {};
  std::vector<ProcessEntry> processes;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (const auto process = read_process(::dirfd(folder.get()), entry->d_name)) processes.push_back(*process);
  }
  return processes;
}

}  // namespace dstack::os
