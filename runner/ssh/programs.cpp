#include "runner/ssh/programs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <format>
#include <string_view>

#include "common/error.h"
#include "common/os/file.h"

// The archive, put there by the linker.
extern "C" const char dstack_ssh_programs[];
extern "C" const char dstack_ssh_programs_end[];

namespace dstack::runner::ssh {

namespace {

std::string_view archive() { return {dstack_ssh_programs, dstack_ssh_programs_end}; }

// Memory of its own from the system, so that nothing of it stays with the allocator: the runner is to be small.
class Scratch {
 public:
  explicit Scratch(std::size_t size) : size_(size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw os_error("get memory for", "the SSH server");
    memory_ = static_cast<char*>(memory);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::munmap(memory_, size_); }

  char* data() { return memory_; }
  std::size_t size() const { return size_; }

 private:
  char* memory_ = nullptr;
  std::size_t size_;
};

// The archive's pages were read from the runner's file, and are not needed again.
void let_go_of_archive() {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(archive().data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + archive().size()) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the beginning of a page
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void write_program(const std::filesystem::path& path) {
  Scratch program(ZSTD_getFrameContentSize(archive().data(), archive().size()));
  const std::size_t size = ZSTD_decompress(program.data(), program.size(), archive().data(), archive().size());
  if (ZSTD_isError(size) != 0) {
    throw Error(ErrorKind::internal, std::format("unpack {}: {}", path.string(), ZSTD_getErrorName(size)));
  }
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  os::write_all(file.get(), {program.data(), size}, path.string());
  if (::fchmod(file.get(), 0755) != 0) throw os_error("set the mode of", path.string());
}

}  // namespace

void unpack_programs(const std::filesystem::path& folder) {
  os::make_directories(folder, 0755);
  write_program(folder / "sshd");
  let_go_of_archive();
  for (const char* name : {"sshd-session", "sshd-auth", "ssh-keygen", "no-shell"}) {
    const std::filesystem::path link = folder / name;
    if (::symlink("sshd", link.c_str()) != 0) throw os_error("create link", link.string());
  }
}

}  // namespace dstack::runner::ssh
