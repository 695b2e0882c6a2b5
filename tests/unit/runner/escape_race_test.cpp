// A process that swaps a folder and a link to another one, as fast as it can, while an archive is unpacked or a diff is
// applied below that folder. What is written lands in the folder or is refused; it never follows the link.

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "common/error.h"
#include "common/files/archive.h"
#include "common/files/folder_walk.h"
#include "runner/repo/apply.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/tree_of.h"

using namespace dstack;
namespace fs = std::filesystem;

namespace {

// More with `scripts/test --all`.
int rounds() {
  const char* given = std::getenv("DSTACK_TEST_ROUNDS");
  return given == nullptr ? 200 : std::atoi(given);
}

constexpr const char* kDiff =
    "diff --git a/a/new b/a/new\nnew file mode 100644\n--- /dev/null\n+++ b/a/new\n@@ -0,0 +1 @@\n+bad\n"
    "diff --git a/a/kept b/a/kept\n--- a/a/kept\n+++ b/a/kept\n@@ -1 +1 @@\n-one\n+bad\n";

// target/a and target/link, which leads to outside/, change places all the time.
class Swapped {
 public:
  Swapped() {
    fs::create_directories(folder_ / "outside");
    std::ofstream(folder_ / "outside/kept") << "one\n";
    renew();
    swapper_ = std::jthread([this](const std::stop_token& stop) {
      const std::string a = folder_ / "target/a";
      const std::string link = folder_ / "target/link";
      while (!stop.stop_requested()) {
        ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
      }
    });
  }

  // A round may have changed what the folder holds, or have put something in the link's place.
  void renew() const {
    remove_old();
    fs::create_directories(folder_ / "target.new/a");
    std::ofstream(folder_ / "target.new/a/kept") << "one\n";
    fs::create_directory_symlink("../outside", folder_ / "target.new/link");
    if (fs::exists(folder_ / "target")) fs::rename(folder_ / "target", folder_ / "target.old");
    fs::rename(folder_ / "target.new", folder_ / "target");
  }

  // A swap that was under way when the folder was renamed may come in between; there is one at most.
  void remove_old() const {
    std::error_code failure;
    fs::remove_all(folder_ / "target.old", failure);
    if (failure) fs::remove_all(folder_ / "target.old");
  }

  bool is_outside_untouched() const {
    return test::tree_of(folder_ / "outside") == std::map<std::string, std::string>{{"kept", "file one\n"}};
  }
  fs::path path() const { return folder_.path(); }

 private:
  test::TemporaryDirectory folder_;
  std::jthread swapper_;  // last: it uses the others
};

void write_archive(const fs::path& file) {
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  archive_write_open_filename(writer, file.c_str());
  for (const char* name : {"a/new", "a/kept", "a/b/c"}) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, 3);
    archive_write_header(writer, entry);
    archive_write_data(writer, "bad", 3);
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
}

}  // namespace

TEST_CASE("an archive is not unpacked through a link that is swapped in at any time") {
  const auto walk = GENERATE(files::Walk::by_component, files::best_walk());
  const Swapped place;
  write_archive(place.path() / "tar");
  for (int round = 0; round < rounds(); ++round) {
    try {
      files::Tree tree(place.path() / "target", std::nullopt, walk);
      files::unpack(place.path() / "tar", tree, {});
    } catch (const Error&) {
    }
    REQUIRE(place.is_outside_untouched());
    place.renew();
  }
}

TEST_CASE("a diff is not applied through a link that is swapped in at any time") {
  const auto walk = GENERATE(files::Walk::by_component, files::best_walk());
  const Swapped place;
  for (int round = 0; round < rounds(); ++round) {
    try {
      files::Tree tree(place.path() / "target", std::nullopt, walk);
      runner::repo::apply_diff(kDiff, tree, place.path());
    } catch (const Error&) {
    }
    REQUIRE(place.is_outside_untouched());
    place.renew();
  }
}

TEST_CASE("what does follow links is led outside by the swaps") {
  // The other cases would show nothing if this did not happen. It does at the first time slice of the swapper or so.
  constexpr int kTries = 200'000;
  const Swapped place;
  for (int i = 0; i < kTries && place.is_outside_untouched(); ++i)
    std::ofstream(place.path() / "target/a/new") << "bad";
  CHECK(!place.is_outside_untouched());
}
