// An uploaded diff: refused with an Error or applied, and nothing outside of the folder is touched.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "common/os/remove_tree.h"
#include "runner/repo/apply.h"
#include "tests/fuzz/guarded_folder.h"

namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const dstack::test::GuardedFolder folder;
  const fs::path repo = folder.path() / "repo";
  fs::create_directories(repo / "a");
  std::ofstream(repo / "f") << "one\ntwo\nthree\nfour\nfive\n";
  std::ofstream(repo / "a/g") << "one";
  fs::create_symlink("../outside", repo / "link");
  try {
    dstack::files::Tree tree(repo, std::nullopt);
    dstack::runner::repo::apply_diff({reinterpret_cast<const char*>(data), size}, tree, folder.path());
  } catch (const dstack::Error&) {
  }
  dstack::os::remove_tree(folder.path(), "repo");
  folder.check();
  return 0;
}
