#include "runner/job/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <string_view>

#include "common/error.h"
#include "common/os/usual_folders.h"

namespace dstack::runner::job {

namespace {

// 0, or why the file cannot be executed.
int why_not_executable(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return EACCES;
  return ::faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

std::filesystem::path resolve_command(const std::string& name, const Environment& container) {
  if (name.contains('/')) return name;
  const auto variable = container.find("PATH");
  const std::string_view path =
      variable == container.end() || variable->second.empty() ? os::kUsualFolders : variable->second;
  std::string refused;  // the first file that is there and no program
  for (std::string_view rest = path; !name.empty() && !rest.empty();) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::filesystem::path folder = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!folder.is_absolute()) continue;
    const std::filesystem::path file = folder / name;
    const int objection = why_not_executable(file);
    if (objection == 0) return file;
    if (objection != ENOENT && objection != ENOTDIR && refused.empty()) {
      refused = std::format("{}: {}", printable(file.native()), describe_errno(objection));
    }
  }
  if (!refused.empty()) {
    throw CannotExecute(CannotExecute::Reason::not_executable,
                        std::format("cannot execute the command {}: {}", printable(name), refused));
  }
  throw CannotExecute(CannotExecute::Reason::not_found,
                      std::format("the command {} was not found in PATH ({})", printable(name), printable(path)));
}

}  // namespace dstack::runner::job
