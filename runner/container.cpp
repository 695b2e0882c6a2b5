#include "runner/container.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <format>
#include <system_error>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/job/job_user.h"

namespace dstack::runner {

namespace {

const std::filesystem::path dstack_folder = "/dstack";

void fix_home_variable(const os::UserDatabase& users) {
  const std::filesystem::path home = job::root_home(users);
  const char* present = ::getenv("HOME");
  if (present != nullptr && home == present) return;
  spdlog::info("HOME is {}, setting it to {}", present == nullptr ? "not set" : printable(present), home.string());
  ::setenv("HOME", home.c_str(), 1);
}

// sshd demands that nobody else may write to any folder above its files.
void make_folders() {
  if (::mkdir(dstack_folder.c_str(), 0755) != 0 && errno != EEXIST)
    throw os_error("create folder", dstack_folder.string());
  // In a container that may not change owners it has to be root's already.
  struct stat status{};
  if (::stat(dstack_folder.c_str(), &status) != 0) throw os_error("look at", dstack_folder.string());
  if ((status.st_uid != 0 || status.st_gid != 0) && ::chown(dstack_folder.c_str(), 0, 0) != 0) {
    throw os_error("change the owner of", dstack_folder.string());
  }
  if (::chmod(dstack_folder.c_str(), 0755) != 0) throw os_error("set the mode of", dstack_folder.string());
  std::error_code error;
  std::filesystem::remove_all(dstack_folder / "ssh", error);
  if (error) throw os_error("remove", (dstack_folder / "ssh").string(), error.value());
  os::make_directories(dstack_folder / "ssh" / "conf", 0755);
}

void write_authorized_keys(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += key + "\n";
  const std::filesystem::path path = dstack_folder / "ssh" / "conf" / "authorized_keys";
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  // sshd reads it as the user who logs in.
  if (::fchmod(file.get(), 0644) != 0) throw os_error("set the mode of", path.string());
  os::write_all(file.get(), text, path.string());
}

}  // namespace

void prepare_held_container(const os::UserDatabase& users) {
  if (::geteuid() != 0)
    throw Error(ErrorKind::forbidden, std::format("dstack-runner must be root, it is user {}", ::geteuid()));
  fix_home_variable(users);
}

void prepare_container(const Options& options, const os::UserDatabase& users) {
  prepare_held_container(users);
  make_folders();
  write_authorized_keys(options.ssh_authorized_keys);
}

}  // namespace dstack::runner
