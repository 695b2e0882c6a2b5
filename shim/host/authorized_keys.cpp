#include "shim/host/authorized_keys.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <mutex>
#include <optional>
#include <set>

#include "common/error.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::host {

namespace {

constexpr std::size_t file_limit = std::size_t{8} << 20;
constexpr std::chrono::seconds lock_limit{5};
constexpr std::chrono::milliseconds lock_pause{20};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// "ssh-ed25519 AAAA…" of a line without options: what makes two lines the same key, whatever the comment. A line that
// is not of this form is only the same as itself.
std::string identity_of(std::string_view line) {
  std::string_view rest = line;
  const std::string_view type = take_word(rest);
  const std::string_view data = take_word(rest);
  constexpr std::array<std::string_view, 3> beginnings{"ssh-", "ecdsa-", "sk-"};
  const bool plain = std::ranges::any_of(beginnings, [&](std::string_view start) { return type.starts_with(start); });
  return plain && !data.empty() ? std::format("{} {}", type, data) : std::string(trim(line));
}

// The key of one of our lines; nothing for a line that is not ours.
std::optional<std::string_view> our_key(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (!line.ends_with(key_line_suffix)) return std::nullopt;
  line.remove_suffix(key_line_suffix.size());
  return line;
}

// The user decides what the path names by the time it is opened: nothing here may wait on a pipe.
os::UniqueFd open_regular(const std::filesystem::path& path, int flags) {
  os::UniqueFd fd = os::open_file(path, flags | O_NONBLOCK, 0600);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw os_error("look at", path.string());
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::invalid, path.string() + " is not a regular file");
  return fd;
}

std::string read_all(int fd, const std::filesystem::path& path) {
  std::string text;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (count < 0) throw os_error("read", path.string());
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > file_limit) throw Error(ErrorKind::too_large, path.string() + " is too large");
  }
}

// Calls `take` with each line and its end, "\n" or at the end of the text nothing.
template <typename Take>
void for_each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    take(text.substr(0, length));
    text.remove_prefix(length);
  }
}

// The user's file as it lies on disk, locked against other shims for as long as this lives.
class KeyFile {
 public:
  explicit KeyFile(const User& user) : user_(user), path_(std::filesystem::path(user.home) / ".ssh" / "authorized_keys") {
    make_folder();
    while (!open_and_lock()) {
    }
  }

  std::string read() const { return read_all(fd_.get(), path_); }

  void replace(const std::string& text) {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw os_error("look at", path_.string());
    std::string name = path_.string() + ".dstack-XXXXXX";
    const os::UniqueFd aside(::mkostemp(name.data(), O_CLOEXEC));
    if (!aside) throw os_error("create a temporary file beside", path_.string());
    try {
      os::write_all(aside.get(), text, name);
      keep_owner_and_mode(aside.get(), status, name);
      if (::fsync(aside.get()) != 0) throw os_error("flush", name);
      if (::rename(name.c_str(), path_.c_str()) != 0) throw os_error("replace", path_.string());
    } catch (...) {
      ::unlink(name.c_str());
      throw;
    }
    os::sync_directory(path_.parent_path());
  }

 private:
  void make_folder() const {
    const std::filesystem::path folder = path_.parent_path();
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw os_error("create folder", folder.string());
  }

  // False when the file was replaced by someone else between opening and locking it.
  bool open_and_lock() {
    // A link is resolved once, so that its target is replaced and not the link.
    std::error_code failure;
    if (const auto target = std::filesystem::canonical(path_, failure); !failure) path_ = target;
    // Read only: it is replaced, never written to, and may be root's.
    fd_ = open_regular(path_, O_RDONLY | O_CREAT | O_NOFOLLOW);
    lock();
    struct stat opened {};
    struct stat named {};
    if (::fstat(fd_.get(), &opened) != 0) throw os_error("look at", path_.string());
    return ::lstat(path_.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
  }

  // The user may hold a lock for ever, so there is a limit, and flock(2) has none of its own.
  void lock() const {
    os::Clock& clock = os::system_clock();
    const auto deadline = clock.now() + lock_limit;
    std::mutex mutex;
    std::condition_variable unused;
    std::unique_lock guard(mutex);
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK || clock.now() >= deadline) throw os_error("lock", path_.string());
      clock.wait_until(guard, unused, clock.now() + lock_pause, [] { return false; });
    }
  }

  void keep_owner_and_mode(int aside, const struct stat& status, const std::string& name) const {
    struct stat made {};
    if (::fstat(aside, &made) != 0) throw os_error("look at", name);
    if (made.st_uid != status.st_uid || made.st_gid != status.st_gid) {
      // Not the user's own, like one that was written with sudo: a new file of the user's cannot become that without root.
      as_root(user_, [&] {
        if (::fchown(aside, status.st_uid, status.st_gid) != 0) throw os_error("set the owner of", name);
        if (::fchmod(aside, status.st_mode & 07777) != 0) throw os_error("set the mode of", name);
      });
    } else if (::fchmod(aside, status.st_mode & 07777) != 0) {
      throw os_error("set the mode of", name);
    }
  }

  const User& user_;
  std::filesystem::path path_;
  os::UniqueFd fd_;
};

std::filesystem::path key_file(const User& user) { return std::filesystem::path(user.home) / ".ssh" / "authorized_keys"; }

}  // namespace

bool change_our_keys(std::string& text, const KeyChange& change) {
  const auto identities = [](const std::vector<std::string>& keys) {
    std::set<std::string> all;
    for (const std::string& key : keys) all.insert(identity_of(key));
    return all;
  };
  const std::set<std::string> added = identities(change.add);
  const std::set<std::string> kept = identities(change.keep);
  const std::set<std::string> removed = identities(change.remove);
  const auto stays = [&](const std::string& identity) {
    return added.contains(identity) || kept.contains(identity) || !(change.remove_others || removed.contains(identity));
  };

  std::string result;
  std::set<std::string> present;
  for_each_line(text, [&](std::string_view line) {
    const auto key = our_key(line);
    if (!key) {
      present.insert(identity_of(line));
      result += line;
    } else if (stays(identity_of(*key)) && present.insert(identity_of(*key)).second) {
      result += line;
    }
  });
  for (const std::string& key : change.add) {
    if (!present.insert(identity_of(key)).second) continue;
    if (!result.empty() && !result.ends_with('\n')) result += '\n';
    result += std::format("{}{}\n", trim(key), key_line_suffix);
  }
  if (result == text) return false;
  text = std::move(result);
  return true;
}

void change_our_keys(const User& user, const KeyChange& change) {
  with_file_access_of(user, [&] {
    // Nothing to take away from a file that is not there.
    if (change.add.empty() && !std::filesystem::exists(key_file(user))) return;
    KeyFile file(user);
    std::string text = file.read();
    if (change_our_keys(text, change)) file.replace(text);
  });
}

bool has_our_keys(const User& user) {
  bool found = false;
  with_file_access_of(user, [&] {
    try {
      const os::UniqueFd fd = open_regular(key_file(user), O_RDONLY);
      for_each_line(read_all(fd.get(), key_file(user)), [&found](std::string_view line) { found = found || our_key(line); });
    } catch (const Error&) {
    }
  });
  return found;
}

}  // namespace dstack::shim::host
