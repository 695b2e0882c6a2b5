#include "runner/repo/diff_file.h"

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>

#include "common/os/command.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::repo {

namespace {

std::string read_back(const test::TemporaryDirectory& folder, const std::string& content) {
  std::ofstream(folder / "diff", std::ios::binary) << content;
  std::string text;
  read_diff(folder / "diff", folder.path(), [&text](std::string_view view) { text = view; });
  return text;
}

std::string git(const test::TemporaryDirectory& folder, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"git", "-C", folder / "repo", "-c", "user.name=a", "-c", "user.email=a@b"});
  const auto result = os::run_command({.arguments = arguments});
  REQUIRE(result.succeeded());
  return result.output;
}

}  // namespace

TEST_CASE("a diff is handed over as it is, but with an end to its last line") {
  const test::TemporaryDirectory folder;
  CHECK(read_back(folder, "").empty());
  CHECK(read_back(folder, "diff --git a/x b/x\n+a\x1b[31mb\n") == "diff --git a/x b/x\n+a\x1b[31mb\n");
  CHECK(read_back(folder, "diff --git a/x b/x\n+a") == "diff --git a/x b/x\n+a\n");
}

TEST_CASE("a diff that git coloured is the same without its colours") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directory(folder / "repo");
  git(folder, {"init", "-q"});
  const std::string before = "int main() {\n  one\n  two\n\x1b[31mred\x1b[0m text\nlast\n";
  const std::string after = "int main() {\n  one\n  2 \t \ncarriage\r\n\x1b[32mgreen\x1b[0m text\n\n \tlast";
  std::ofstream(folder / "repo/file") << before;
  std::ofstream(folder / "repo/gone") << "x\n";
  git(folder, {"add", "."});
  git(folder, {"commit", "-qm", "x"});
  std::ofstream(folder / "repo/file") << after;
  std::filesystem::remove(folder / "repo/gone");
  std::ofstream(folder / "repo/new") << std::string("\0\1\2", 3);
  git(folder, {"add", "-A"});
  const std::string plain = git(folder, {"diff", "--cached", "--binary", "--no-color"});
  const std::string coloured = git(folder, {"diff", "--cached", "--binary", "--color=always"});
  REQUIRE(coloured != plain);
  CHECK(is_coloured(coloured));
  CHECK_FALSE(is_coloured(plain));
  CHECK(read_back(folder, coloured) == plain);
}

}  // namespace dstack::runner::repo
