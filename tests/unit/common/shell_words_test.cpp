#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "common/text/shell_words.h"

using namespace dstack::text;
using Words = std::vector<std::string>;

TEST_CASE("a command line is split as a shell splits it", "[text]") {
  CHECK(split_shell_words("") == Words{});
  CHECK(split_shell_words(" \t\n ") == Words{});
  CHECK(split_shell_words("  sh -e  /x/y.sh\n") == Words{"sh", "-e", "/x/y.sh"});
  CHECK(split_shell_words(R"("a b" 'c d' e\ f)") == Words{"a b", "c d", "e f"});
  CHECK(split_shell_words(R"(a"b c"'d e'f)") == Words{"ab cd ef"});
  CHECK(split_shell_words(R"("" x '')") == Words{"", "x", ""});
  CHECK(split_shell_words(R"("say \"hi\" \\ \n \$A `x`")") == Words{R"(say "hi" \ \n $A `x`)"});
  CHECK(split_shell_words(R"('a\b"c')") == Words{R"(a\b"c)"});
  CHECK(split_shell_words("a\\\nb \"c\\\nd\"") == Words{"ab", "cd"});
  CHECK(split_shell_words("echo $HOME * ~ # no comment") == Words{"echo", "$HOME", "*", "~", "#", "no", "comment"});
}

TEST_CASE("a command line whose quotes are not closed has no words", "[text]") {
  for (const char* text : {"'", "\"", "a 'b c", "a \"b\\\"", "a\\", "'a'\"b'"}) {
    CAPTURE(text);
    CHECK(split_shell_words(text) == std::nullopt);
  }
}

TEST_CASE("a quoted word comes back as it was", "[text]") {
  for (const std::string text : {"", "plain", "a b", "it's", "''", "\"", "$A `b` \\", "line\nend", "-e"}) {
    CAPTURE(text);
    CHECK(split_shell_words("x " + shell_quoted(text) + " y") == Words{"x", text, "y"});
  }
}
