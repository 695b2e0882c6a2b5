#include "common/files/file_identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;

namespace {

uid_t owner_of(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_uid;
}

}  // namespace

TEST_CASE("what is made under an identity is that user's, also below folders that are closed to him") {
  if (::geteuid() != 0) SKIP("only root acts for others");
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "closed/open");
  REQUIRE(::chmod((folder / "closed").c_str(), 0700) == 0);
  {
    const files::FileIdentity identity(files::Owner{.uid = 1234, .gid = 1234});
    std::ofstream(folder / "closed/open/file") << "x";
    std::filesystem::create_symlink("x", folder / "closed/open/link");
    std::filesystem::create_directory(folder / "closed/open/sub");
  }
  CHECK(owner_of(folder / "closed/open/file") == 1234);
  CHECK(owner_of(folder / "closed/open/link") == 1234);
  CHECK(owner_of(folder / "closed/open/sub") == 1234);
}

TEST_CASE("an identity ends, and without an owner nothing changes") {
  const test::TemporaryDirectory folder;
  if (::geteuid() == 0) const files::FileIdentity identity(files::Owner{.uid = 1234, .gid = 1234});
  const files::FileIdentity none(std::nullopt);
  std::ofstream(folder / "file") << "x";
  CHECK(owner_of(folder / "file") == ::geteuid());
}
