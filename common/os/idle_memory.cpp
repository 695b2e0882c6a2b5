#include "common/os/idle_memory.h"

#include <link.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace dstack::os {

namespace {

// Only what is mapped from the file and never written to: dropping such a page loses nothing.
void drop_unwritable(const dl_phdr_info& program) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int index = 0; index < program.dlpi_phnum; ++index) {
    const auto& segment = program.dlpi_phdr[index];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t start = (program.dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const std::uintptr_t end = (program.dlpi_addr + segment.p_vaddr + segment.p_filesz) / page * page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that the loader gives as a number
    if (start < end) ::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
  }
}

}  // namespace

void give_back_idle_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);  // musl's allocator gives back what is free by itself
#endif
  // The first one is the program itself.
  ::dl_iterate_phdr(
      [](dl_phdr_info* program, std::size_t, void*) {
        drop_unwritable(*program);
        return 1;
      },
      nullptr);
}

}  // namespace dstack::os
