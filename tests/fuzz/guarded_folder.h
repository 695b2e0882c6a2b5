#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A folder for what is fuzzed, with another in it, "outside", that it must not touch.
class GuardedFolder {
 public:
  GuardedFolder() {
    std::filesystem::create_directory(folder_ / "outside");
    std::ofstream(folder_ / "outside/file") << "untouched";
  }

  const std::filesystem::path& path() const { return folder_.path(); }

  // After all else was removed: ends the process unless "outside" is there as it was, and nothing beside it.
  void check() const {
    if (os::read_file(folder_ / "outside/file") != "untouched") std::abort();
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      if (entry.path().filename() != "outside") std::abort();
    }
  }

 private:
  TemporaryDirectory folder_;
};

}  // namespace dstack::test
