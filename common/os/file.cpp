#include "common/os/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <format>

#include "common/error.h"

namespace dstack::os {

namespace {

// A file beside its later name, removed unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target)
      : path_(target.string() + ".XXXXXX"), fd_(::mkostemp(path_.data(), O_CLOEXEC)) {
    if (!fd_) throw os_error("create a temporary file beside", target.string());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!kept_) ::unlink(path_.c_str());
  }

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  void rename_over(const std::filesystem::path& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) throw os_error("replace", target.string());
    kept_ = true;
  }

 private:
  std::string path_;
  UniqueFd fd_;
  bool kept_ = false;
};

}  // namespace

UniqueFd open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) throw os_error("open", path.string());
  return fd;
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  return read_rest(open_file(path, O_RDONLY).get(), path.native(), limit);
}

std::string read_rest(int fd, std::string_view what, std::size_t limit) {
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) continue;
      throw os_error("read", what);
    }
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > limit) {
      throw Error(ErrorKind::too_large, std::format("read {}: larger than {} bytes", what, limit));
    }
  }
}

std::optional<std::string> try_read_file(const std::filesystem::path& path) {
  try {
    return read_file(path);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string> list_folder(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  std::filesystem::directory_iterator entry(folder, failure);
  while (!failure && entry != std::filesystem::directory_iterator()) {
    names.push_back(entry->path().filename().string());
    entry.increment(failure);
  }
  return names;
}

void write_all(int fd, std::string_view data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t count = ::write(fd, data.data(), data.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      throw os_error("write", what);
    }
    data.remove_prefix(static_cast<std::size_t>(count));
  }
}

void write_file_atomic(const std::filesystem::path& path, std::string_view data, mode_t mode) {
  TemporaryFile file(path);
  if (::fchmod(file.fd(), mode) != 0) throw os_error("set the mode of", file.path());
  write_all(file.fd(), data, file.path());
  if (::fsync(file.fd()) != 0) throw os_error("flush", file.path());
  file.rename_over(path);
  sync_directory(path.parent_path().empty() ? "." : path.parent_path());
}

void replace_file(const std::filesystem::path& path, std::string_view data, mode_t mode) {
  TemporaryFile file(path);
  if (::fchmod(file.fd(), mode) != 0) throw os_error("set the mode of", file.path());
  write_all(file.fd(), data, file.path());
  file.rename_over(path);
}

void sync_directory(const std::filesystem::path& path) {
  const UniqueFd folder = open_file(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(folder.get()) != 0) throw os_error("flush", path.string());
}

void make_directories(const std::filesystem::path& path, mode_t mode) {
  const auto is_there = [](const std::filesystem::path& folder) {
    std::error_code ignored;
    return std::filesystem::is_directory(folder, ignored);
  };
  if (path.empty() || is_there(path)) return;
  // What is there already may be reached through links. From the first folder that is missing on, each is opened below
  // the one before and not through a link, so that exchanging one of them leads to no other place.
  std::filesystem::path present = path.parent_path();
  while (!present.empty() && !is_there(present)) present = present.parent_path();
  UniqueFd folder = open_file(present.empty() ? "." : present, O_PATH | O_DIRECTORY);
  std::filesystem::path reached = present;
  for (const auto& name : path.lexically_relative(present.empty() ? "" : present)) {
    if (name.empty() || name == ".") continue;
    reached /= name;
    const bool made = ::mkdirat(folder.get(), name.c_str(), mode) == 0;
    if (!made && errno != EEXIST) throw os_error("create folder", reached.string());
    const int how = made ? O_RDONLY | O_NOFOLLOW : O_PATH;
    UniqueFd next(::openat(folder.get(), name.c_str(), how | O_DIRECTORY | O_CLOEXEC));
    if (!next) throw os_error("open folder", reached.string());
    if (made && ::fchmod(next.get(), mode) != 0) throw os_error("set the mode of", reached.string());
    folder = std::move(next);
  }
}

}  // namespace dstack::os
