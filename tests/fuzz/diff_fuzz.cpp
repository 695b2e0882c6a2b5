// An uploaded diff: refused with an Error or applied, and nothing outside of the folder is touched.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "runner/repo/apply.h"

namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "diff_fuzz.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
    fs::create_directory(path / "outside");
    std::ofstream(path / "outside/file") << "untouched";
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  const fs::path repo = folder.path / "repo";
  fs::create_directories(repo / "a");
  std::ofstream(repo / "f") << "one\ntwo\nthree\nfour\nfive\n";
  std::ofstream(repo / "a/g") << "one";
  fs::create_symlink("../outside", repo / "link");
  try {
    dstack::runner::files::Tree tree(repo, std::nullopt);
    dstack::runner::repo::apply_diff({reinterpret_cast<const char*>(data), size}, tree, folder.path);
  } catch (const dstack::Error&) {
  }
  dstack::os::remove_tree(folder.path, "repo");
  if (dstack::os::read_file(folder.path / "outside/file") != "untouched") std::abort();
  for (const auto& entry : fs::directory_iterator(folder.path)) {
    if (entry.path().filename() != "outside") std::abort();
  }
  return 0;
}
