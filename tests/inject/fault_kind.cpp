#include "tests/inject/fault_kind.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <initializer_list>
#include <string>
#include <vector>

namespace dstack::test {

namespace {

template <long... Numbers>
constexpr std::array<long, sizeof...(Numbers)> numbers{Numbers...};

bool is_one_of(const SystemCall& call, std::span<const long> some) {
  return std::ranges::find(some, call.number) != some.end();
}

std::string text_of(pid_t thread, std::uint64_t address) {
  std::string text(PATH_MAX, '\0');
  // A read that crosses into an unmapped page fails as a whole, so page by page.
  std::size_t got = 0;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  while (got < text.size() && text.find('\0') >= got) {
    const std::size_t length = std::min(page - (address + got) % page, text.size() - got);
    iovec local{.iov_base = text.data() + got, .iov_len = length};
    iovec remote{.iov_base = reinterpret_cast<void*>(address + got), .iov_len = length};  // NOLINT: another process's
    if (::process_vm_readv(thread, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(length)) break;
    got += length;
  }
  return text.substr(0, std::min(text.find('\0'), got));
}

// Not a file of the kernel's own, and not a program or library that is being loaded.
bool is_on_disk(const std::string& path) {
  constexpr std::array<std::string_view, 6> elsewhere{"/proc", "/sys", "/dev/", "/usr", "/lib", "/memfd:"};
  if (path.starts_with("/dev/shm")) return true;
  return std::ranges::none_of(elsewhere, [&path](std::string_view prefix) { return path.starts_with(prefix); });
}

bool is_file_on_disk(const SystemCall& call) {
  std::string target(PATH_MAX, '\0');
  const std::string link =
      "/proc/" + std::to_string(call.thread) + "/fd/" + std::to_string(static_cast<int>(call.arguments[0]));
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length <= 0 || target[0] != '/') return false;
  target.resize(static_cast<std::size_t>(length));
  return is_on_disk(target);
}

bool opens_on_disk(const SystemCall& call) {
  return call.number == SYS_openat && is_on_disk(text_of(call.thread, call.arguments[1]));
}
bool creates_file(const SystemCall& call) { return opens_on_disk(call) && (call.arguments[2] & O_CREAT) != 0; }
bool opens_to_write(const SystemCall& call) {
  return opens_on_disk(call) && (call.arguments[2] & (O_CREAT | O_WRONLY | O_RDWR)) != 0;
}

constexpr auto writes = numbers<SYS_write, SYS_pwrite64, SYS_writev, SYS_ftruncate, SYS_fallocate>;
constexpr auto reads = numbers<SYS_read, SYS_pread64, SYS_readv, SYS_getdents64>;
constexpr auto flushes = numbers<SYS_fsync, SYS_fdatasync>;
constexpr auto renames = numbers<SYS_rename, SYS_renameat, SYS_renameat2>;
constexpr auto makes = numbers<SYS_mkdir, SYS_mkdirat, SYS_symlink, SYS_symlinkat, SYS_link, SYS_linkat>;
constexpr auto removals = numbers<SYS_unlink, SYS_unlinkat, SYS_rmdir>;
constexpr auto attributes =
    numbers<SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_chown, SYS_fchown, SYS_fchownat, SYS_utimensat>;
constexpr auto descriptors = numbers<SYS_openat, SYS_socket, SYS_socketpair, SYS_accept4, SYS_accept, SYS_pipe2,
                                     SYS_eventfd2, SYS_timerfd_create, SYS_epoll_create1, SYS_dup, SYS_signalfd4,
                                     SYS_pidfd_open, SYS_inotify_init1, SYS_memfd_create>;
constexpr auto threads = numbers<SYS_clone, SYS_clone3, SYS_fork, SYS_vfork>;
constexpr auto memory = numbers<SYS_mmap, SYS_mremap, SYS_brk>;

bool runs_out_of_space(const SystemCall& call) {
  if (is_one_of(call, makes) || is_one_of(call, renames) || creates_file(call)) return true;
  return (is_one_of(call, writes) || is_one_of(call, flushes)) && is_file_on_disk(call);
}
bool fails_on_disk(const SystemCall& call) {
  if (is_one_of(call, makes) || is_one_of(call, renames) || is_one_of(call, removals) || opens_on_disk(call))
    return true;
  return (is_one_of(call, writes) || is_one_of(call, reads) || is_one_of(call, flushes)) && is_file_on_disk(call);
}
bool is_refused_read_only(const SystemCall& call) {
  return is_one_of(call, makes) || is_one_of(call, renames) || is_one_of(call, removals) ||
         is_one_of(call, attributes) || opens_to_write(call);
}
bool is_flush(const SystemCall& call) { return is_one_of(call, flushes) && is_file_on_disk(call); }
bool is_rename(const SystemCall& call) { return is_one_of(call, renames); }
bool makes_descriptor(const SystemCall& call) { return is_one_of(call, descriptors); }
bool makes_thread(const SystemCall& call) { return is_one_of(call, threads); }
bool takes_memory(const SystemCall& call) {
  if (call.number == SYS_mmap) return (call.arguments[3] & MAP_ANONYMOUS) != 0;
  return is_one_of(call, memory) || is_one_of(call, threads);
}

constexpr std::array kinds{
    FaultKind{.name = "ENOSPC", .error = ENOSPC, .applies = runs_out_of_space},
    FaultKind{.name = "EIO", .error = EIO, .applies = fails_on_disk},
    FaultKind{.name = "EROFS", .error = EROFS, .applies = is_refused_read_only},
    FaultKind{.name = "EMFILE", .error = EMFILE, .applies = makes_descriptor},
    FaultKind{.name = "ENOMEM", .error = ENOMEM, .applies = takes_memory},
    FaultKind{.name = "EAGAIN (threads)", .error = EAGAIN, .applies = makes_thread},
    FaultKind{.name = "EIO (fsync)", .error = EIO, .applies = is_flush},
    FaultKind{.name = "EACCES (rename)", .error = EACCES, .applies = is_rename},
};

}  // namespace

std::span<const FaultKind> fault_kinds() { return kinds; }

std::span<const long> calls_of_interest() {
  static const std::vector<long> all = [] {
    std::vector<long> found;
    const std::initializer_list<std::span<const long>> groups{writes,   reads,      flushes,     renames, makes,
                                                              removals, attributes, descriptors, threads, memory};
    for (const std::span<const long> group : groups) found.insert(found.end(), group.begin(), group.end());
    return found;
  }();
  return all;
}

}  // namespace dstack::test
