// An uploaded archive: refused with an Error or unpacked, and nothing outside of the folder is touched.

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <format>
#include <optional>

#include "common/error.h"
#include "common/files/archive.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "common/os/unique_fd.h"
#include "tests/fuzz/guarded_folder.h"
#include "tests/fuzz/planted.h"

namespace fs = std::filesystem;

// The first byte says which layout.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const dstack::test::GuardedFolder folder;
  if (size == 0) return 0;
  const fs::path target = folder.path() / "target";
  fs::create_directory(target);
  fs::create_symlink("../outside", target / "link");
  const dstack::os::UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
  dstack::os::write_all(archive.get(), {reinterpret_cast<const char*>(data) + 1, size - 1}, "the archive");
  try {
    namespace files = dstack::files;
    files::Tree tree(target, std::nullopt);
    files::Unpacking how;
    if (data[0] % 3 != 0) how.layout = files::Layout::one_root;
    if (data[0] % 3 == 2) how.place = "place";
    files::unpack(std::format("/proc/self/fd/{}", archive.get()), tree, how);
    std::size_t links = 0;
    for (const auto& entry : fs::recursive_directory_iterator(target)) links += entry.is_symlink() ? 1U : 0U;
    dstack::test::planted_bug(links >= 3);
  } catch (const dstack::Error&) {
  }
  dstack::os::remove_tree(folder.path(), "target");
  folder.check();
  return 0;
}
