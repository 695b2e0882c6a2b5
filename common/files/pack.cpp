#include "common/files/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <format>
#include <memory>
#include <vector>

#include "common/error.h"
#include "common/files/utf8_locale.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace dstack::files {

namespace {

constexpr std::size_t kPieceSize = std::size_t{1} << 16;

struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

class Packer {
 public:
  Packer(const Packing& how, const std::function<void(std::string_view)>& write)
      : how_(how), write_(write), writer_(archive_write_new()) {
    if (!writer_) throw Error(ErrorKind::internal, "write archive: out of memory");
    archive_write_set_format_pax_restricted(writer_.get());
    archive_write_set_bytes_per_block(writer_.get(), 0);
    check(archive_write_open(writer_.get(), this, nullptr, &Packer::on_write, nullptr));
  }

  // `name` of the folder `parent`, or a path for AT_FDCWD, under the name `as`.
  void add(int parent, const std::string& name, const std::string& as) {
    struct stat status{};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw os_error("look at", printable(name));
    if (S_ISDIR(status.st_mode)) return add_folder(parent, name, as, status);
    if (S_ISREG(status.st_mode)) return add_file(parent, name, as);
    if (S_ISLNK(status.st_mode)) return add_link(parent, name, as, status);
    how_.skipped(std::format("{} is a device, a pipe or a socket", printable(as)));
  }

  void finish() { check(archive_write_close(writer_.get())); }

 private:
  // An exception must not travel through libarchive.
  static la_ssize_t on_write(archive*, void* self, const void* bytes, std::size_t size) {
    auto* packer = static_cast<Packer*>(self);
    try {
      packer->write_({static_cast<const char*>(bytes), size});
      return static_cast<la_ssize_t>(size);
    } catch (...) {
      packer->failure_ = std::current_exception();
      return -1;
    }
  }

  void check(la_ssize_t result) {
    if (failure_) std::rethrow_exception(failure_);
    if (result >= ARCHIVE_WARN) return;
    const char* reason = archive_error_string(writer_.get());
    throw Error(ErrorKind::internal,
                std::format("write archive: {}", reason == nullptr ? "unknown reason" : printable(reason)));
  }

  void begin(const std::string& as, const struct stat& status, const char* link_target = nullptr) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    if (!entry) throw Error(ErrorKind::internal, "write archive: out of memory");
    archive_entry_copy_stat(entry.get(), &status);
    archive_entry_unset_atime(entry.get());
    archive_entry_unset_ctime(entry.get());
    archive_entry_set_nlink(entry.get(), 1);
    archive_entry_copy_pathname(entry.get(), as.c_str());
    if (!S_ISREG(status.st_mode)) archive_entry_set_size(entry.get(), 0);
    if (link_target != nullptr) archive_entry_copy_symlink(entry.get(), link_target);
    if (!how_.keep_owners) {
      archive_entry_set_uid(entry.get(), 0);
      archive_entry_set_gid(entry.get(), 0);
    }
    check(archive_write_header(writer_.get(), entry.get()));
  }

  void add_folder(int parent, const std::string& name, const std::string& as, const struct stat& status) {
    const os::UniqueFd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) throw os_error("open", printable(as));
    begin(as, status);
    std::vector<std::string> names = os::list_folder(std::format("/proc/self/fd/{}", folder.get()));
    std::ranges::sort(names);
    for (const std::string& inner : names) {
      try {
        add(folder.get(), inner, std::format("{}/{}", as, inner));
      } catch (const std::exception& error) {
        if (failure_ || fatal_) throw;
        how_.skipped(std::format("{}: {}", printable(std::format("{}/{}", as, inner)), error.what()));
      }
    }
  }

  void add_link(int parent, const std::string& name, const std::string& as, const struct stat& status) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(parent, name.c_str(), target.data(), target.size() - 1);
    if (size < 0) throw os_error("read link", printable(as));
    begin(as, status, target.data());
  }

  // Of the size that it has when it is opened: what it grows by is left out, what it shrinks by is zeros.
  void add_file(int parent, const std::string& name, const std::string& as) {
    const os::UniqueFd file(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) throw os_error("open", printable(as));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) throw os_error("look at", printable(as));
    if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::invalid, "it was replaced meanwhile");
    begin(as, status);
    fatal_ = true;  // from here on the archive needs the file's bytes
    std::array<char, kPieceSize> buffer{};
    for (off_t left = status.st_size; left > 0;) {
      const auto wanted = static_cast<std::size_t>(std::min<off_t>(left, kPieceSize));
      const ssize_t count = ::read(file.get(), buffer.data(), wanted);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw os_error("read", printable(as));
      if (count == 0) break;
      check(archive_write_data(writer_.get(), buffer.data(), static_cast<std::size_t>(count)));
      left -= count;
    }
    check(archive_write_finish_entry(writer_.get()));
    fatal_ = false;
  }

  const Packing& how_;
  const std::function<void(std::string_view)>& write_;
  std::exception_ptr failure_;
  bool fatal_ = false;
  const std::unique_ptr<archive, FreeWriter> writer_;
};

}  // namespace

void pack(const std::filesystem::path& source, const Packing& how, const std::function<void(std::string_view)>& write) {
  const Utf8Locale locale;
  Packer packer(how, write);
  packer.add(AT_FDCWD, source.string(), how.name);
  packer.finish();
}

}  // namespace dstack::files
