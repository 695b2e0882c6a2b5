#include "shim/host/authorized_keys.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <filesystem>
#include <format>
#include <functional>
#include <mutex>
#include <optional>
#include <random>

#include "common/error.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::host {

namespace {

constexpr std::size_t kFileLimit = std::size_t{8} << 20;
constexpr std::chrono::seconds kLockLimit{5};
constexpr std::chrono::milliseconds kLockPause{20};

// A file in an open folder, so that nobody can exchange what lies on the way to it.
struct Place {
  os::UniqueFd folder;
  std::string name;
  std::string path;  // for messages
};

// The user decides what the name stands for by the time it is opened: nothing here may wait on a pipe.
os::UniqueFd open_regular(const Place& place, int flags) {
  os::UniqueFd fd(::openat(place.folder.get(), place.name.c_str(), flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) throw os_error("open", place.path);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw os_error("look at", place.path);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::invalid, place.path + " is not a regular file");
  return fd;
}

std::string read_all(int fd, const std::string& path) {
  std::string text;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (count < 0) throw os_error("read", path);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kFileLimit) throw Error(ErrorKind::too_large, path + " is too large");
  }
}

// The file as it lies on disk, locked against other shims for as long as this lives.
class KeyFile {
 public:
  KeyFile(const User& user, const Place& place) : user_(user), place_(place) {
    while (!open_and_lock()) {
    }
  }

  std::string read() const { return read_all(fd_.get(), place_.path); }

  void replace(const std::string& text) {
    struct stat status{};
    if (::fstat(fd_.get(), &status) != 0) throw os_error("look at", place_.path);
    const std::string name = std::format("{}.dstack-{:08x}", place_.name, std::random_device()());
    const os::UniqueFd aside(
        ::openat(place_.folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!aside) throw os_error("create a temporary file beside", place_.path);
    try {
      os::write_all(aside.get(), text, place_.path);
      keep_owner_and_mode(aside.get(), status);
      if (::fsync(aside.get()) != 0) throw os_error("flush", place_.path);
      if (::renameat(place_.folder.get(), name.c_str(), place_.folder.get(), place_.name.c_str()) != 0) {
        throw os_error("replace", place_.path);
      }
    } catch (...) {
      ::unlinkat(place_.folder.get(), name.c_str(), 0);
      throw;
    }
    if (::fsync(place_.folder.get()) != 0) throw os_error("flush the folder of", place_.path);
  }

 private:
  // False when the file was replaced by someone else between opening and locking it.
  bool open_and_lock() {
    // Read only: it is replaced, never written to, and may be root's.
    fd_ = open_regular(place_, O_RDONLY | O_CREAT);
    lock();
    struct stat opened{};
    struct stat named{};
    if (::fstat(fd_.get(), &opened) != 0) throw os_error("look at", place_.path);
    return ::fstatat(place_.folder.get(), place_.name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
  }

  // The user may hold a lock for ever, so there is a limit, and flock(2) has none of its own.
  void lock() const {
    os::Clock& clock = os::system_clock();
    const auto deadline = clock.now() + kLockLimit;
    std::mutex mutex;
    std::condition_variable unused;
    std::unique_lock guard(mutex);
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK || clock.now() >= deadline) throw os_error("lock", place_.path);
      clock.wait_until(guard, unused, clock.now() + kLockPause, [] { return false; });
    }
  }

  void keep_owner_and_mode(int aside, const struct stat& status) const {
    struct stat made{};
    if (::fstat(aside, &made) != 0) throw os_error("look at the new", place_.path);
    const auto keep = [&](bool owner) {
      if (owner && ::fchown(aside, status.st_uid, status.st_gid) != 0)
        throw os_error("set the owner of the new", place_.path);
      if (::fchmod(aside, status.st_mode & 07777) != 0) throw os_error("set the mode of the new", place_.path);
    };
    if (made.st_uid == status.st_uid && made.st_gid == status.st_gid) return keep(false);
    // Not the user's own, like one that was written with sudo: a new file of the user's cannot become that without
    // root.
    as_root(user_, [&keep] { keep(true); });
  }

  const User& user_;
  const Place& place_;
  os::UniqueFd fd_;
};

std::string folder_of(const User& user) { return (std::filesystem::path(user.home) / ".ssh").string(); }

std::string path_of(const User& user) { return folder_of(user) + "/authorized_keys"; }

// A ~/.ssh that is root's own, as some hosts have it to keep users from adding keys.
std::optional<Place> place_of_root(const User& user) {
  const os::UniqueFd home(::open(user.home.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  os::UniqueFd folder(::openat(home.get(), ".ssh", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!folder || ::fstat(folder.get(), &status) != 0 || status.st_uid != 0) return std::nullopt;
  return Place{.folder = std::move(folder), .name = "authorized_keys", .path = path_of(user)};
}

// Called with the user's file access. A link is resolved once, so that its target is replaced and not the link.
Place place_of_user(const User& user) {
  std::error_code failure;
  std::filesystem::path path = std::filesystem::canonical(path_of(user), failure);
  if (failure) path = path_of(user);
  return {.folder = os::open_file(path.parent_path(), O_RDONLY | O_DIRECTORY),
          .name = path.filename(),
          .path = path.string()};
}

// Runs `act` with the place of the user's file and the right file access.
void with_place(const User& user, bool make_folder, const std::function<void(const User&, const Place&)>& act) {
  if (const auto place = user.uid == 0 ? std::nullopt : place_of_root(user)) {
    const User root{.name = "root", .uid = 0, .gid = 0, .home = user.home};
    return with_file_access_of(root, [&] { act(root, *place); });
  }
  with_file_access_of(user, [&] {
    const std::string folder = folder_of(user);
    if (make_folder && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw os_error("create folder", folder);
    act(user, place_of_user(user));
  });
}

bool exists(const Place& place) {
  return ::faccessat(place.folder.get(), place.name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

void change_our_keys(const User& user, const KeyChange& change) {
  const bool adds = !change.add.empty();
  try {
    with_place(user, adds, [&](const User& owner, const Place& place) {
      // Nothing to take away from a file that is not there.
      if (!adds && !exists(place)) return;
      KeyFile file(owner, place);
      std::string text = file.read();
      if (change_our_keys(text, change)) file.replace(text);
    });
  } catch (const Error& error) {
    if (adds) throw;
    // Nor from a folder that is not there.
    if (error.kind() == ErrorKind::not_found) return;
    // sshd reads the file with the user's rights as well: what those do not reach lets nobody in, and a task must not
    // wait for its user. The next start of the shim looks for left-over lines again.
    if (error.kind() != ErrorKind::denied) throw;
    spdlog::warn("keys of user {} are left in place: {}", printable(user.name), error.what());
  }
}

bool has_our_keys(const User& user, const std::vector<std::string>& but) {
  bool found = false;
  try {
    with_place(user, false, [&](const User&, const Place& place) {
      const os::UniqueFd fd = open_regular(place, O_RDONLY);
      found = has_our_keys(read_all(fd.get(), place.path), but);
    });
  } catch (const std::exception&) {  // what cannot be read has none
  }
  return found;
}

}  // namespace dstack::shim::host
