#include "shim/host/other_shims.h"

#include <unistd.h>

#include <algorithm>
#include <format>
#include <sstream>
#include <string>
#include <vector>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::host {

namespace {

namespace fs = std::filesystem;

// A kernel shows the first 15 bytes of a program's name, and a release's has its platform behind "dstack-shim".
bool has_name_and_is_not_our_child(const fs::path& process) {
  // "12 (dstack-shim) S 1 …": the parent comes after the state.
  const std::string status = os::try_read_file(process / "stat").value_or("");
  const std::size_t name = status.find(" (dstack-shim");
  const std::size_t name_end = status.rfind(") ");
  if (name == std::string::npos || name_end == std::string::npos || status.size() < name_end + 4) return false;
  // A process of our own asks DCGM, and has the name as well.
  return !status.substr(name_end + 4).starts_with(std::format("{} ", ::getpid()));
}

bool is_of_root(const fs::path& process) {
  const std::string status = os::try_read_file(process / "status").value_or("");
  for (const std::string_view line : text::split_lines(status)) {
    const auto words = text::split_words(line);  // "Uid:", real, effective, saved, of the file system
    if (words.size() < 3 || words[0] != "Uid:") continue;
    return words[1] == "0" && words[2] == "0";
  }
  return false;
}

// A container has a process namespace of its own.
bool is_in_our_namespace(const fs::path& proc, const fs::path& process) {
  std::error_code failure;
  const fs::path ours = fs::read_symlink(proc / "self/ns/pid", failure);
  return !failure && fs::read_symlink(process / "ns/pid", failure) == ours && !failure;
}

bool has_a_shims_log_open(const fs::path& process) {
  const auto is_log = [&process](const std::string& descriptor) {
    std::error_code failure;
    return fs::read_symlink(process / "fd" / descriptor, failure).filename() == "shim.log" && !failure;
  };
  return std::ranges::any_of(os::list_folder(process / "fd"), is_log);
}

}  // namespace

bool another_shim_runs(const fs::path& proc) {
  return std::ranges::any_of(os::list_folder(proc), [&proc](const std::string& name) {
    if (!text::is_digits(name) || name == std::to_string(::getpid())) return false;
    const fs::path process = proc / name;
    return has_name_and_is_not_our_child(process) && is_of_root(process) && is_in_our_namespace(proc, process) &&
           has_a_shims_log_open(process);
  });
}

}  // namespace dstack::shim::host
