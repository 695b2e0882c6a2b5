#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/error.h"
#include "runner/repo/apply.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/tree_of.h"

using namespace dstack;
using namespace dstack::runner;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace fs = std::filesystem;
using Contents = std::map<std::string, std::string>;

namespace {

struct Place {
  Place() {
    fs::create_directories(folder / "repo/.git");
    fs::create_directories(folder / "outside");
    write("repo/f", "one\ntwo\nthree\n");
    write("outside/file", "untouched\n");
    write("repo/.git/config", "untouched\n");
  }
  void write(const char* path, const std::string& content) const { std::ofstream(folder / path) << content; }
  void apply(const std::string& diff, const repo::Filters& filters = {}) const {
    files::Tree tree(folder / "repo", std::nullopt);
    repo::apply_diff(diff, tree, folder.path(), filters);
  }
  Contents content() const { return test::tree_of(folder / "repo"); }
  void expect_refusal(const std::string& diff, const char* reason) const {
    const Contents before = content();
    CHECK_THROWS_MATCHES(apply(diff), Error, MessageMatches(ContainsSubstring(reason)));
    CHECK(content() == before);
    CHECK(test::tree_of(folder / "outside") == Contents{{"file", "file untouched\n"}});
    CHECK(os::read_file(folder / "repo/.git/config") == "untouched\n");
  }
  test::TemporaryDirectory folder;
};

std::string edit(const std::string& path, const std::string& hunks) {
  return "diff --git a/" + path + " b/" + path + "\n--- a/" + path + "\n+++ b/" + path + "\n" + hunks;
}
std::string create(const std::string& path, const std::string& mode = "100644") {
  return "diff --git a/" + path + " b/" + path + "\nnew file mode " + mode + "\n--- /dev/null\n+++ b/" + path +
         "\n@@ -0,0 +1 @@\n+bad\n";
}

}  // namespace

TEST_CASE("a hunk that does not apply is named with its file, and nothing is changed") {
  const Place place;
  place.expect_refusal(create("new") + edit("f", "@@ -1 +1 @@\n-one\n+1\n@@ -3 +3 @@\n-four\n+4\n"),
                       "\"f\": hunk 2 (\"@@ -3 +3 @@\") does not apply");
}

TEST_CASE("a hunk that has moved is found by its context") {
  const Place place;
  place.write("repo/f", "0\n0\none\ntwo\nthree\n0\n");
  place.apply(edit("f", "@@ -1,3 +1,3 @@ where\n one\n-two\n+2\n three\n"));
  CHECK(place.content().at("f") == "file 0\n0\none\n2\nthree\n0\n");
}

TEST_CASE("a hunk at an end of the file is not found elsewhere") {
  const Place place;
  place.write("repo/f", "0\none\ntwo\n0\n");
  place.expect_refusal(edit("f", "@@ -1,2 +1,3 @@\n+new\n one\n two\n"), "hunk 1");
  place.expect_refusal(edit("f", "@@ -7,2 +7,3 @@\n one\n two\n+new\n"), "hunk 1");
}

TEST_CASE("a file that is not as the diff says is refused by its name") {
  const Place place;
  place.expect_refusal(edit("missing", "@@ -1 +1 @@\n-one\n+1\n"), "\"missing\"");
  place.expect_refusal(create("f"), "\"f\": the diff creates it, but it already exists");
  place.expect_refusal("diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
                       "more content than the diff removes");
  place.expect_refusal("diff --git a/f b/f\nindex 123..456 120000\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+1\n",
                       "symbolic link");
  place.expect_refusal("diff --git a/f b/f\nindex 123..456 100644\nBinary files a/f and b/f differ\n", "with --binary");
}

TEST_CASE("a diff that is damaged is refused by its line") {
  const Place place;
  place.expect_refusal(edit("f", "@@ -1,3 +1,3 @@\n one\n-two\n"), "ends inside a hunk");
  place.expect_refusal(edit("f", "@@ -1,2 +1,1 @@\n-one\n+two\n+three\n-two\n"), "line counts");
  place.expect_refusal(edit("f", "@@ -1,x @@\n"), "a number is expected");
  place.expect_refusal(edit("f", "@@ -1 +1 @@\n*one\n"), "begins with neither");
  place.expect_refusal(edit("f", ""), "a hunk is expected");
  place.expect_refusal("@@ -1 +1 @@\n-one\n+1\n", "without a file");
  place.expect_refusal("words without a diff", "is not a diff");
  place.expect_refusal("diff --git a/f\n", "cannot be told apart");
  place.expect_refusal("diff --git \"a/\\9\" \"b/\\9\"\n", "malformed");
  place.expect_refusal("diff --cc f\nindex 1,2..3\n", "in the middle of a merge");
  place.expect_refusal("diff --git a/f b/f\nold mode 020644\n", "is not a file mode");
}

TEST_CASE("a binary patch that is damaged is refused by its file") {
  const Place place;
  const auto patch = [](const std::string& body) {
    return "diff --git a/f b/f\nindex 1..2 100644\nGIT binary patch\n" + body;
  };
  place.expect_refusal(patch("literal 5\nEcmZQzU}9it000620ssI2\n\n"), "\"f\": the binary patch is damaged");
  place.expect_refusal(patch("literal 5\n\n"), "breaks off");
  place.expect_refusal(patch("literal 99999999999\nzcmZQ\n\n"), "length of a line is wrong");
  place.expect_refusal(patch("literal 5\n!cmZQzU\n\n"), "no length");
  place.expect_refusal(patch("other 5\n"), "unknown");
}

TEST_CASE("a path that leads outside is refused by its name") {
  const Place place;
  const char* path = GENERATE("../outside/new", "x/../../outside/new", "/etc/new", ".git/hooks/x", "x/.GIT/config",
                              "git~1/config", "x/..", ".");
  place.expect_refusal(create(path), path);
  place.expect_refusal(
      "diff --git a/f b/f\nsimilarity index 100%\nrename from f\nrename to " + std::string(path) + "\n", path);
  place.expect_refusal("diff --git a/f b/f\nsimilarity index 100%\ncopy from " + std::string(path) + "\ncopy to new\n",
                       path);
}

TEST_CASE("a path that leads through a link is refused by its name") {
  const Place place;
  fs::create_directory_symlink("../outside", place.folder / "repo/link");
  place.expect_refusal(create("link/new"), "link/new\" leads through the symbolic link");
  place.expect_refusal(edit("link/file", "@@ -1 +1 @@\n-untouched\n+bad\n"), "link/file");
  place.expect_refusal("diff --git a/x b/x\nsimilarity index 100%\ncopy from link/file\ncopy to stolen\n", "link/file");
  place.expect_refusal("diff --git a/x b/x\nsimilarity index 100%\nrename from link/file\nrename to stolen\n",
                       "link/file");
}

TEST_CASE("a link made by the diff is not the way of a later file of it") {
  const Place place;
  const std::string link =
      "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+../outside\n"
      "\\ No newline at end of file\n";
  CHECK_THROWS_MATCHES(place.apply(link + create("link/new")), Error, MessageMatches(ContainsSubstring("link/new")));
  CHECK(test::tree_of(place.folder / "outside") == Contents{{"file", "file untouched\n"}});
}

TEST_CASE("a link in a file's place is not written through") {
  const Place place;
  fs::create_symlink("../outside/file", place.folder / "repo/link");
  place.expect_refusal(edit("link", "@@ -1 +1 @@\n-untouched\n+bad\n"), "link");
}

TEST_CASE("a pipe in a file's place does not hold the diff up") {
  const Place place;
  REQUIRE(::mkfifo((place.folder / "repo/pipe").c_str(), 0600) == 0);
  CHECK_THROWS_MATCHES(place.apply(edit("pipe", "@@ -1 +1 @@\n-one\n+1\n")), Error,
                       MessageMatches(ContainsSubstring("not a regular file")));
}

TEST_CASE("a submodule's change is left out, the rest applies") {
  const Place place;
  fs::create_directory(place.folder / "repo/sub");
  place.apply(
      "diff --git a/sub b/sub\nindex 111..222 160000\n--- a/sub\n+++ b/sub\n@@ -1 +1 @@\n"
      "-Subproject commit 111\n+Subproject commit 222\n" +
      create("new"));
  CHECK(place.content().at("new") == "file bad\n");
}

TEST_CASE("the last newline of a diff may be lost on its way") {
  const Place place;
  std::string diff = create("new");
  diff.pop_back();
  place.apply(diff);
  CHECK(place.content().at("new") == "file bad\n");
}

TEST_CASE("what a checkout does to a content is undone for the diff and done again") {
  const Place place;
  place.write("repo/f", "ONE\nTWO\n");
  const auto change = [](int (*letter)(int)) {
    return [letter](const std::string&, std::string_view content) -> std::optional<std::string> {
      std::string text(content);
      for (char& c : text) c = static_cast<char>(letter(c));
      return text;
    };
  };
  place.apply(edit("f", "@@ -1,2 +1,2 @@\n one\n-two\n+three\n"),
              {.to_repository = change(::tolower), .to_folder = change(::toupper)});
  CHECK(place.content().at("f") == "file ONE\nTHREE\n");
}

TEST_CASE("a hunk's numbers that no file can have are refused") {
  const Place place;
  place.expect_refusal(edit("f", "@@ -9223372036854775807,1 +1 @@\n-one\n+1\n"), "is too large");
  place.expect_refusal(edit("f", "@@ -18446744073709551615,1 +1 @@\n-one\n+1\n"), "is too large");
  place.expect_refusal(edit("f", "@@ -1,18446744073709551615 +1 @@\n-one\n+1\n"), "is too large");
}

TEST_CASE("what is no diff is refused with the setting that makes git print something else") {
  const Place place;
  place.expect_refusal("file f changed\n", "diff.external");
}
