// Runs a fuzz target once with each file of a folder:
//
//   corpus_replay TARGET FOLDER
//
// A target that aborts ends this program with it. Fails for a folder without files, which would show nothing.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#define TARGET(name) extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
#include "replayed.inc"
#undef TARGET

namespace {

using Target = int (*)(const std::uint8_t* data, std::size_t size);

const std::map<std::string, Target>& targets() {
#define TARGET(name) {#name, fuzz_##name},
  static const std::map<std::string, Target> targets = {
#include "replayed.inc"
  };
#undef TARGET
  return targets;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || !targets().contains(argv[1])) {
    std::fputs("usage: corpus_replay TARGET FOLDER\n", stderr);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[2])) files.push_back(entry.path());
  std::ranges::sort(files);
  for (const auto& file : files) {
    std::printf("%s\n", file.filename().c_str());
    std::fflush(stdout);
    std::ifstream stream(file, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(stream), {}};
    targets().at(argv[1])(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
  }
  return files.empty() ? 1 : 0;
}
