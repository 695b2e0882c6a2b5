#include "common/files/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <format>
#include <memory>
#include <string_view>

#include "common/error.h"
#include "common/files/entry_path.h"
#include "common/files/utf8_locale.h"
#include "common/os/file.h"

namespace dstack::files {

namespace {

constexpr std::size_t kReadSize = std::size_t{1} << 20;
constexpr std::uint64_t kEntriesBetweenQuestions = 256;

struct FreeReader {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

class Unpacker {
 public:
  Unpacker(int archive, Tree& tree, const Unpacking& how) : tree_(tree), how_(how), reader_(archive_read_new()) {
    if (!reader_) throw Error(ErrorKind::internal, "read archive: out of memory");
    archive_read_support_filter_gzip(reader_.get());
    archive_read_support_format_tar(reader_.get());
    archive_read_support_format_empty(reader_.get());
    if (archive_read_open_fd(reader_.get(), archive, kReadSize) != ARCHIVE_OK) throw failure("read the archive");
  }

  void run() {
    archive_entry* entry = nullptr;
    std::uint64_t count = 0;
    while (true) {
      if (count++ % kEntriesBetweenQuestions == 0) check_stopped();
      const int result = archive_read_next_header(reader_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      // A warning is about a name in another alphabet or a time out of range: the entry itself is there.
      if (result == ARCHIVE_RETRY) continue;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) throw failure("read the archive");
      take(entry);
    }
    if (how_.layout == Layout::one_root && !root_) {
      throw Error(ErrorKind::invalid, "the archive is empty: one root entry is expected");
    }
    tree_.finish();
  }

 private:
  void check_stopped() const {
    if (how_.stopped()) throw Error(ErrorKind::cancelled, "unpacking the archive was stopped");
  }

  Error failure(std::string_view action) const {
    const char* reason = archive_error_string(reader_.get());
    const std::string text = reason == nullptr ? "unknown reason" : printable(reason);
    // An errno value where the system is at fault. For bad archives libarchive has EILSEQ, EINVAL and -1.
    const int code = archive_errno(reader_.get());
    if (code > 0 && code != EILSEQ && code != EINVAL) return os_error(action, text, code);
    return {ErrorKind::invalid, std::format("{}: {}", action, text)};
  }

  // Where in the tree an entry of this name goes.
  std::string place_of(std::string_view name) {
    std::string path = entry_path(name);
    if (how_.layout == Layout::as_named) return path;
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view root = std::string_view(path).substr(0, end);
    if (root.empty())
      throw Error(ErrorKind::invalid, std::format("{} is not below the archive's root", printable(name)));
    if (!root_) root_ = root;
    if (*root_ != root) {
      throw Error(ErrorKind::invalid, std::format("{} is not below {}: the archive has more than one root",
                                                  printable(name), printable(*root_)));
    }
    if (how_.place.empty()) return path.size() == end ? "" : path.substr(end + 1);
    return how_.place + path.substr(end);
  }

  static std::string_view name_in(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) throw Error(ErrorKind::invalid, "an entry of the archive has a name that cannot be read");
    return name;
  }

  void take(archive_entry* entry) {
    const std::string_view name = name_in(entry);
    try {
      take(entry, name);
    } catch (const Error& error) {
      // Where the root has another name on disk, the message may know that one only.
      if (std::string_view(error.what()).contains(printable(name))) throw;
      throw Error(error.kind(), std::format("{}: {}", printable(name), error.what()));
    }
  }

  void take(archive_entry* entry, std::string_view name) {
    const std::string path = place_of(name);
    if (how_.keep_kinds) expect_same_kind(path, archive_entry_filetype(entry) == AE_IFDIR);
    if (!make(entry, name, path) || !how_.keep_owners || path.empty()) return;
    tree_.give(path, {.uid = static_cast<uid_t>(archive_entry_uid(entry)),
                      .gid = static_cast<gid_t>(archive_entry_gid(entry))});
  }

  void expect_same_kind(const std::string& path, bool folder) {
    if (path.empty()) return;
    const auto there = tree_.look(path);
    if (!there || S_ISDIR(there->st_mode) == folder) return;
    throw Error(ErrorKind::invalid, std::format("cannot replace {} {} with {}", folder ? "non-directory" : "directory",
                                                printable(path), folder ? "a directory" : "a non-directory"));
  }

  // False if it was left out.
  bool make(archive_entry* entry, std::string_view name, const std::string& path) {
    const mode_t mode = archive_entry_perm(entry);
    if (const char* target = archive_entry_hardlink(entry)) {
      link(name, path, target);
      return true;
    }
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        if (!path.empty()) tree_.make_folder(path, mode);
        return true;
      case AE_IFREG:
        expect_below_root(name, path);
        write(entry, path, mode);
        return true;
      case AE_IFLNK: {
        expect_below_root(name, path);
        const char* target = archive_entry_symlink(entry);
        if (target == nullptr || *target == '\0') {
          throw Error(ErrorKind::invalid, std::format("{} is a symbolic link without a target", printable(name)));
        }
        tree_.make_link(path, target);
        return true;
      }
      default:
        if (how_.skipped) {
          how_.skipped(std::format("{} is a device, a pipe or a socket", printable(name)));
          return false;
        }
        throw Error(ErrorKind::invalid,
                    std::format("{} is a device, a pipe or a socket, which archives must not hold", printable(name)));
    }
  }

  static void expect_below_root(std::string_view name, const std::string& path) {
    if (!path.empty()) return;
    throw Error(ErrorKind::invalid,
                std::format("{} would replace a folder that must stay, and is not a folder", printable(name)));
  }

  void link(std::string_view name, const std::string& path, const char* target) {
    expect_below_root(name, path);
    std::string existing;
    try {
      existing = place_of(target);
      expect_below_root(target, existing);
    } catch (const Error& error) {
      throw Error(error.kind(),
                  std::format("{} is a hard link to a path outside of the archive: {}", printable(name), error.what()));
    }
    tree_.make_hard_link(path, existing);
  }

  void write(archive_entry* entry, const std::string& path, mode_t mode) {
    Tree::NewFile file = tree_.make_file(path);
    la_int64_t written_to = 0;
    while (true) {
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(reader_.get(), &block, &size, &offset);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) throw failure("read " + printable(path));
      write_at(file.fd(), static_cast<const char*>(block), size, offset, path);
      written_to = offset + static_cast<la_int64_t>(size);
      check_stopped();
    }
    // A file may end in a hole.
    if (archive_entry_size(entry) > written_to && ::ftruncate(file.fd(), archive_entry_size(entry)) != 0) {
      throw os_error("write", printable(path));
    }
    const timespec modified{.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)};
    file.finish(mode, archive_entry_mtime_is_set(entry) != 0 ? &modified : nullptr);
  }

  static void write_at(int fd, const char* data, std::size_t size, la_int64_t offset, const std::string& path) {
    while (size > 0) {
      const ssize_t count = ::pwrite(fd, data, size, offset);
      if (count < 0) {
        if (errno == EINTR) continue;
        throw os_error("write", printable(path));
      }
      data += count;
      offset += count;
      size -= static_cast<std::size_t>(count);
    }
  }

  Tree& tree_;
  const Unpacking& how_;
  const std::unique_ptr<archive, FreeReader> reader_;
  std::optional<std::string> root_;
};

}  // namespace

void unpack(const std::filesystem::path& archive, Tree& tree, const Unpacking& how) {
  const os::UniqueFd file = os::open_file(archive, O_RDONLY);
  unpack(file.get(), tree, how);
}

void unpack(int archive, Tree& tree, const Unpacking& how) {
  const Utf8Locale locale;
  Unpacker(archive, tree, how).run();
}

}  // namespace dstack::files
