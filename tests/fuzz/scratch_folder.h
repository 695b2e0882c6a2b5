#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>

#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A folder of files for what reads them by path.
class ScratchFolder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }

  // Replaces the file, and makes the folders above it.
  void write(const std::filesystem::path& file, std::string_view content) const {
    std::filesystem::create_directories((path() / file).parent_path());
    std::ofstream(path() / file, std::ios::binary) << content;
  }

 private:
  TemporaryDirectory folder_;
};

}  // namespace dstack::test
