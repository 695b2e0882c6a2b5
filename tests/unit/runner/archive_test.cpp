#include "common/files/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"
#include "tests/support/failing_calls.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/lacking_capabilities.h"
#include "tests/unit/runner/tree_of.h"

using namespace dstack;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace fs = std::filesystem;
using Contents = std::map<std::string, std::string>;

namespace {

// A tar archive written entry by entry, with whatever an attacker likes in it.
class Tar {
 public:
  explicit Tar(const fs::path& path, bool gzip = false) : writer_(archive_write_new()) {
    archive_write_set_format_pax_restricted(writer_);
    if (gzip) archive_write_add_filter_gzip(writer_);
    archive_write_open_filename(writer_, path.c_str());
  }
  ~Tar() { archive_write_free(writer_); }

  Tar& folder(const char* name, mode_t mode = 0755) { return add(name, AE_IFDIR, mode, nullptr, nullptr, ""); }
  Tar& file(const char* name, const std::string& content, mode_t mode = 0644) {
    return add(name, AE_IFREG, mode, nullptr, nullptr, content);
  }
  Tar& link(const char* name, const char* target) { return add(name, AE_IFLNK, 0777, target, nullptr, ""); }
  Tar& hard_link(const char* name, const char* target) { return add(name, AE_IFREG, 0644, nullptr, target, ""); }
  Tar& special(const char* name, unsigned type) { return add(name, type, 0666, nullptr, nullptr, ""); }
  void close() { archive_write_close(writer_); }

 private:
  Tar& add(const char* name, unsigned type, mode_t mode, const char* target, const char* existing,
           const std::string& content) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, mode);
    archive_entry_set_mtime(entry, 1000000000, 0);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    if (target != nullptr) archive_entry_set_symlink(entry, target);
    if (existing != nullptr) archive_entry_set_hardlink(entry, existing);
    archive_write_header(writer_, entry);
    archive_write_data(writer_, content.data(), content.size());
    archive_entry_free(entry);
    return *this;
  }
  archive* writer_;
};

// A target and, beside it, what nothing may touch.
struct Place {
  Place() {
    fs::create_directories(folder / "target");
    fs::create_directories(folder / "outside");
    std::ofstream(folder / "outside/file") << "untouched";
  }
  void unpack(const files::Unpacking& how = {}) const {
    files::Tree tree(folder / "target", std::nullopt, walk);
    files::unpack(folder / "tar", tree, how);
  }
  Contents target() const { return test::tree_of(folder / "target"); }
  Contents outside() const { return test::tree_of(folder / "outside"); }

  test::TemporaryDirectory folder;
  // Both ways of walking are tested wherever the kernel has both.
  files::Walk walk = GENERATE(files::Walk::by_component, files::best_walk());
};

const Contents untouched = {{"file", "file untouched"}};

}  // namespace

TEST_CASE("files, folders and links are unpacked as they are") {
  const Place place;
  Tar(place.folder / "tar")
      .folder("a", 0700)
      .file("a/text", "words")
      .file("a/run", "#!", 0755)
      .link("a/python", "/usr/bin/python3")
      .hard_link("a/same", "a/text")
      .file("b/c/in folders that have no entry", "x")
      .close();
  place.unpack();
  CHECK(place.target() == Contents{{"a", "folder"},
                                   {"a/text", "file words"},
                                   {"a/run", "program #!"},
                                   {"a/python", "link to /usr/bin/python3"},
                                   {"a/same", "file words"},
                                   {"b", "folder"},
                                   {"b/c", "folder"},
                                   {"b/c/in folders that have no entry", "file x"}});
  struct stat status{};
  REQUIRE(::stat((place.folder / "target/a").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  REQUIRE(::stat((place.folder / "target/a/text").c_str(), &status) == 0);
  CHECK(status.st_mtime == 1000000000);
}

TEST_CASE("a gzipped archive is unpacked like a plain one") {
  const Place place;
  Tar(place.folder / "tar", true).file("a", std::string(100000, 'x')).close();
  place.unpack();
  CHECK(place.target() == Contents{{"a", "file " + std::string(100000, 'x')}});
}

TEST_CASE("an archive without an entry and a file without a byte hold nothing") {
  const Place place;
  SECTION("no entry") { Tar(place.folder / "tar").close(); }
  SECTION("no byte") { std::ofstream(place.folder / "tar").flush(); }
  place.unpack();
  CHECK(place.target().empty());
  CHECK_THROWS_MATCHES(place.unpack({.layout = files::Layout::one_root, .place = "x"}), Error,
                       MessageMatches(ContainsSubstring("is empty")));
}

TEST_CASE("an archive that the disk does not let be read is refused with the reason") {
  const Place place;
  Tar(place.folder / "tar", GENERATE(false, true)).file("a", "x").close();
  CHECK_THROWS_MATCHES(
      test::with_failing_calls({SYS_read}, EIO, [&] { place.unpack(); }), Error,
      MessageMatches(ContainsSubstring("read the archive") && ContainsSubstring("Input/output error")));
  CHECK(place.target().empty());
}

TEST_CASE("names in any alphabet are kept byte by byte") {
  const Place place;
  const char* name = "дом/空 \" ' \n\\.txt";
  Tar(place.folder / "tar").file(name, "x").close();
  place.unpack();
  CHECK(place.target().contains(name));
}

TEST_CASE("an entry that names a place outside is refused by its name") {
  const Place place;
  const char* name = GENERATE("/absolute", "../outside/file", "a/../../outside/file", "a/..", "..");
  Tar(place.folder / "tar").file(name, "bad").close();
  CHECK_THROWS_MATCHES(place.unpack(), Error, MessageMatches(ContainsSubstring(name)));
  CHECK(place.outside() == untouched);
}

TEST_CASE("an entry that leads through a link is refused by its name") {
  const Place place;
  Tar tar(place.folder / "tar");
  const std::string outside = place.folder / "outside";
  SECTION("an absolute link") { tar.link("a", outside.c_str()).file("a/file", "bad"); }
  SECTION("a relative link") { tar.link("a", "../outside").file("a/file", "bad"); }
  SECTION("a link to a link") { tar.link("b", "../outside").link("a", "b").file("a/file", "bad"); }
  SECTION("a link to the inside") { tar.folder("in").link("a", "in").file("a/file", "bad"); }
  SECTION("a link in the middle") { tar.link("x/a", "../../outside").file("x/a/file", "bad"); }
  SECTION("a folder's entry") { tar.link("a", "../outside").folder("a/file"); }
  SECTION("a link's entry") { tar.link("a", "../outside").link("a/file", "x"); }
  SECTION("a hard link's entry") { tar.file("f", "x").link("a", "../outside").hard_link("a/file", "f"); }
  tar.close();
  CHECK_THROWS_MATCHES(place.unpack(), Error,
                       MessageMatches(ContainsSubstring("a/file\" leads through the symbolic link")));
  CHECK(place.outside() == untouched);
}

TEST_CASE("a hard link to the outside is refused by its name") {
  const Place place;
  Tar tar(place.folder / "tar");
  const std::string outside = place.folder / "outside/file";
  SECTION("absolute") { tar.hard_link("bad", outside.c_str()); }
  SECTION("by ..") { tar.hard_link("bad", "../outside/file"); }
  SECTION("through a link") { tar.link("a", "../outside").hard_link("bad", "a/file"); }
  tar.file("bad", "written").close();
  CHECK_THROWS_MATCHES(place.unpack(), Error, MessageMatches(ContainsSubstring("bad")));
  CHECK(place.outside() == untouched);
}

TEST_CASE("what is written in a link's place takes its place and does not follow it") {
  const Place place;
  Tar(place.folder / "tar")
      .link("a", "../outside/file")
      .file("a", "good")
      .link("b", "../outside")
      .folder("b")
      .file("b/file", "good")
      .link("c", "../outside/file")
      .hard_link("d", "c")
      .file("d", "good")
      .close();
  place.unpack();
  CHECK(place.target() == Contents{{"a", "file good"},
                                   {"b", "folder"},
                                   {"b/file", "file good"},
                                   {"c", "link to ../outside/file"},
                                   {"d", "file good"}});
  CHECK(place.outside() == untouched);
}

TEST_CASE("a link that is swapped in while an archive is unpacked is not followed") {
  const Place place;
  // Asked before the first entry and after each file's block: that is when the folder becomes a link.
  Tar(place.folder / "tar").folder("a").file("b/file", "x").file("a/file", "bad").close();
  const auto swap = [&] {
    if (!fs::exists(place.folder / "target/b/file")) return false;
    fs::remove(place.folder / "target/a");
    fs::create_symlink("../outside", place.folder / "target/a");
    return false;
  };
  CHECK_THROWS_MATCHES(place.unpack({.stopped = swap}), Error, MessageMatches(ContainsSubstring("a/file")));
  CHECK(place.outside() == untouched);
}

TEST_CASE("devices, pipes and sockets are refused by their names") {
  const Place place;
  const unsigned type = GENERATE(AE_IFCHR, AE_IFBLK, AE_IFIFO);
  Tar(place.folder / "tar").special("bad", type).close();
  CHECK_THROWS_MATCHES(place.unpack(), Error, MessageMatches(ContainsSubstring("bad")));
  CHECK(place.target().empty());
}

TEST_CASE("set-uid, set-gid and sticky bits are dropped") {
  const Place place;
  Tar(place.folder / "tar").folder("folder", 07755).file("file", "x", 06755).close();
  place.unpack();
  struct stat status{};
  REQUIRE(::stat((place.folder / "target/file").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
  REQUIRE(::stat((place.folder / "target/folder").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
}

TEST_CASE("what is unpacked belongs to its owner, links themselves too") {
  if (::geteuid() != 0) SKIP("only root gives files away");
  const test::TemporaryDirectory folder;
  fs::create_directory(folder / "target");
  std::ofstream(folder / "outside") << "untouched";
  Tar(folder / "tar").folder("a").file("a/b", "x").link("a/c", "../../outside").file("d/e", "x").close();
  files::Tree tree(folder / "target", files::Owner{.uid = 1234, .gid = 2345});
  files::unpack(folder / "tar", tree, {});
  for (const char* name : {"a", "a/b", "a/c", "d", "d/e"}) {
    struct stat status{};
    REQUIRE(::lstat((folder / "target" / name).c_str(), &status) == 0);
    CHECK(status.st_uid == 1234);
    CHECK(status.st_gid == 2345);
  }
  for (const char* name : {"outside", "target"}) {
    struct stat status{};
    REQUIRE(::lstat((folder / name).c_str(), &status) == 0);
    CHECK(status.st_uid == 0);
  }
}

TEST_CASE("an archive's one root gets the name of its place") {
  const Place place;
  SECTION("a folder") {
    Tar(place.folder / "tar").folder("root").file("root/a", "x").hard_link("root/b", "root/a").close();
    place.unpack({.layout = files::Layout::one_root, .place = "data"});
    CHECK(place.target() == Contents{{"data", "folder"}, {"data/a", "file x"}, {"data/b", "file x"}});
  }
  SECTION("a file") {
    Tar(place.folder / "tar").file("root", "x").close();
    place.unpack({.layout = files::Layout::one_root, .place = "$1\\0 [x]"});
    CHECK(place.target() == Contents{{"$1\\0 [x]", "file x"}});
  }
  SECTION("its folder is there and stays") {
    std::ofstream(place.folder / "target/before") << "y";
    Tar(place.folder / "tar").folder("root").file("root/a", "x").close();
    place.unpack({.layout = files::Layout::one_root, .place = ""});
    CHECK(place.target() == Contents{{"a", "file x"}, {"before", "file y"}});
  }
}

TEST_CASE("an archive with several roots, or with none, is refused by the entry") {
  const Place place;
  Tar tar(place.folder / "tar");
  SECTION("two") {
    tar.folder("root").file("root/a", "x").file("second", "bad").close();
    CHECK_THROWS_MATCHES(place.unpack({.layout = files::Layout::one_root, .place = "x"}), Error,
                         MessageMatches(ContainsSubstring("second")));
  }
  SECTION("a hard link to another") {
    std::ofstream(place.folder / "target/neighbour") << "secret";
    tar.hard_link("root", "neighbour").close();
    CHECK_THROWS_MATCHES(place.unpack({.layout = files::Layout::one_root, .place = "x"}), Error,
                         MessageMatches(ContainsSubstring("neighbour")));
  }
  SECTION("the folder itself") {
    tar.folder("./").file("./a", "x").close();
    CHECK_THROWS_MATCHES(place.unpack({.layout = files::Layout::one_root, .place = "x"}), Error,
                         MessageMatches(ContainsSubstring("./")));
  }
}

TEST_CASE("a damaged archive is an error") {
  const Place place;
  SECTION("gzip that breaks off") {
    Tar(place.folder / "tar", true).file("a", std::string(100000, 'x')).close();
    fs::resize_file(place.folder / "tar", fs::file_size(place.folder / "tar") / 2);
  }
  SECTION("tar that breaks off") {
    Tar(place.folder / "tar").file("a", std::string(100000, 'x')).close();
    fs::resize_file(place.folder / "tar", 50000);
  }
  SECTION("no archive at all") { std::ofstream(place.folder / "tar") << std::string(5000, 'x'); }
  CHECK_THROWS_AS(place.unpack(), Error);
}

TEST_CASE("an archive that the disk does not deliver is an error with the system's reason") {
  const test::TemporaryDirectory folder;
  const os::UniqueFd write_only(::open((folder / "tar").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  files::Tree tree(folder.path(), std::nullopt);
  CHECK_THROWS_WITH(files::unpack(write_only.get(), tree, {}), ContainsSubstring("Bad file descriptor"));
}

TEST_CASE("a stop ends the unpacking") {
  const Place place;
  Tar(place.folder / "tar").file("a", "x").close();
  CHECK_THROWS_AS(place.unpack({.stopped = [] { return true; }}), Error);
}

TEST_CASE("a folder that is listed after its content has the mode that is listed") {
  const Place place;
  Tar(place.folder / "tar").file("a/b/file", "x").folder("a/b", 0700).folder("a", 0555).close();
  place.unpack();
  struct stat status{};
  REQUIRE(::stat((place.folder / "target/a/b").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  REQUIRE(::stat((place.folder / "target/a").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0555);
}

TEST_CASE("where owners cannot be changed the files are unpacked all the same") {
  if (::geteuid() != 0) SKIP("only root gives files away");
  const Place place;
  Tar(place.folder / "tar").folder("a").file("a/file", "x").link("a/link", "file").folder("closed", 0500).close();
  {
    const test::LackingCapabilities lacking{CAP_CHOWN};
    files::Tree tree(place.folder / "target", files::Owner{.uid = 1234, .gid = 1234}, place.walk);
    files::unpack(place.folder / "tar", tree, {});
  }
  CHECK(place.target() ==
        Contents{{"a", "folder"}, {"a/file", "file x"}, {"a/link", "link to file"}, {"closed", "empty folder"}});
}

TEST_CASE("without DAC_OVERRIDE a folder that is the owner's already is written in the owner's name") {
  if (::geteuid() != 0) SKIP("only root acts for others");
  const Place place;
  Tar(place.folder / "tar").folder("a", 0500).file("a/file", "x").file("b/file", "y").folder("b", 0700).close();
  REQUIRE(::chown((place.folder / "target").c_str(), 1234, 1234) == 0);
  REQUIRE(::chmod((place.folder / "target").c_str(), 0700) == 0);
  {
    const test::LackingCapabilities lacking{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
    files::Tree tree(place.folder / "target", files::Owner{.uid = 1234, .gid = 1234}, place.walk);
    files::unpack(place.folder / "tar", tree, {});
  }
  struct stat status{};
  REQUIRE(::stat((place.folder / "target/a/file").c_str(), &status) == 0);
  CHECK(status.st_uid == 1234);
  REQUIRE(::stat((place.folder / "target/b").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
}

TEST_CASE("where a hard link is refused the file is copied") {
  if (::geteuid() != 0 || os::try_read_file("/proc/sys/fs/protected_hardlinks") != "1\n") {
    SKIP("nothing here refuses a hard link");
  }
  const Place place;
  const os::UniqueFd existing = os::open_file(place.folder / "target/one", O_WRONLY | O_CREAT, 0644);
  os::write_all(existing.get(), "content", "one");
  REQUIRE(::fchown(existing.get(), 1234, 1234) == 0);
  {
    // So the kernel does not let this process link a file that it may not write.
    const test::LackingCapabilities lacking{CAP_DAC_OVERRIDE, CAP_FOWNER};
    files::Tree tree(place.folder / "target", std::nullopt, place.walk);
    tree.make_hard_link("two", "one");
  }
  CHECK(place.target() == Contents{{"one", "file content"}, {"two", "file content"}});
  struct stat status{};
  REQUIRE(::stat((place.folder / "target/two").c_str(), &status) == 0);
  CHECK(status.st_nlink == 1);
}
