// An uploaded diff: refused with an Error or applied, and nothing outside of the folder is touched.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "common/error.h"
#include "common/os/remove_tree.h"
#include "runner/repo/apply.h"
#include "tests/fuzz/guarded_folder.h"
#include "tests/fuzz/planted.h"

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
    std::error_code missing;
    const std::string link = fs::read_symlink(repo / "l", missing).string();
    dstack::test::planted_bug(link.size() > 10 && link.starts_with("../outside"));
  } catch (const dstack::Error&) {
  }
  dstack::os::remove_tree(folder.path(), "repo");
  folder.check();
  return 0;
}
