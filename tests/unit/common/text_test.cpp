#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/base64.h"
#include "common/text/escape.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/octal_escapes.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "common/text/utf8.h"

using namespace dstack::text;
using namespace std::string_literals;
using namespace std::string_view_literals;

using Pieces = std::vector<std::string_view>;

TEST_CASE("trimming removes blanks at the ends and nothing else") {
  CHECK(trim(" \t a b\r\n") == "a b");
  CHECK(trim(" \n\t ").empty());
  CHECK(trim("").empty());
  CHECK(trim("a") == "a");
  CHECK(trim("\va\f") == "\va\f");
  CHECK(trim_end(" a \n") == " a");
  CHECK(trim_end("\n").empty());
}

TEST_CASE("letter case is ASCII's") {
  CHECK(lower_case("Content-TYPE: ÄZ") == "content-type: Äz");
  CHECK(equal_ignoring_case("MiB", "mIb"));
  CHECK_FALSE(equal_ignoring_case("MiB", "MB"));
  CHECK_FALSE(equal_ignoring_case("[", "{"));
}

TEST_CASE("a text is split at each separator, also into empty pieces") {
  CHECK(split("a,b,,c", ',') == Pieces{"a", "b", "", "c"});
  CHECK(split(",", ',') == Pieces{"", ""});
  CHECK(split("", ',') == Pieces{""});
}

TEST_CASE("a text is split into words at any run of blanks") {
  CHECK(split_words(" a  b\tc\r\n") == Pieces{"a", "b", "c"});
  CHECK(split_words(" \n").empty());
}

TEST_CASE("a text is split into lines whose ends are removed") {
  CHECK(split_lines("a\nb\r\n\nc") == Pieces{"a", "b", "", "c"});
  CHECK(split_lines("a\n") == Pieces{"a"});
  CHECK(split_lines("\r\n") == Pieces{""});
  CHECK(split_lines("").empty());
  CHECK(split_lines("a\rb") == Pieces{"a\rb"});
}

TEST_CASE("pieces are taken one by one from the beginning of a text") {
  std::string_view rest = "12:cpu,cpuacct:/a:b";
  CHECK(take_until(rest, ':') == "12");
  CHECK(take_until(rest, ':') == "cpu,cpuacct");
  CHECK(rest == "/a:b");
  CHECK(take_until(rest, ' ') == "/a:b");
  CHECK(rest.empty());
  CHECK(take_until(rest, ' ').empty());
}

TEST_CASE("a number is all of its text and within its type's range") {
  CHECK(parse_number<int>("-12") == -12);
  CHECK(parse_number<std::uint8_t>("255") == 255);
  CHECK(parse_number<int>("1f", 16) == 31);
  CHECK(parse_number<std::uint64_t>("18446744073709551615") == UINT64_MAX);
  for (const std::string_view text : {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "one", "99999999999"}) {
    INFO(text);
    CHECK_FALSE(parse_number<int>(text));
  }
  CHECK_FALSE(parse_number<std::uint8_t>("256"));
  CHECK_FALSE(parse_number<unsigned>("-1"));
  CHECK_FALSE(parse_number<int>("1\0"sv));
}

TEST_CASE("digits are decimal ones only") {
  CHECK(is_digits("0123456789"));
  CHECK_FALSE(is_digits(""));
  CHECK_FALSE(is_digits("-1"));
  CHECK_FALSE(is_digits("1a"));
}

TEST_CASE("base64 is that of RFC 4648") {
  const std::vector<std::pair<std::string, std::string>> pairs{{"", ""},
                                                               {"f", "Zg=="},
                                                               {"fo", "Zm8="},
                                                               {"foo", "Zm9v"},
                                                               {"foob", "Zm9vYg=="},
                                                               {"fooba", "Zm9vYmE="},
                                                               {"foobar", "Zm9vYmFy"},
                                                               {"\xfb\xff\xfe\0"s, "+//+AA=="}};
  for (const auto& [data, encoded] : pairs) {
    CHECK(base64(data) == encoded);
    CHECK(decode_base64(encoded) == data);
  }
  CHECK(base64_url("\xfb\xff\xfe\0"s) == "-__-AA==");
  std::string out = "x";
  append_base64(out, "foo");
  CHECK(out == "xZm9v");
}

TEST_CASE("malformed base64 is not decoded") {
  for (const std::string_view text :
       {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "-_-_", "Zg==Zg=="}) {
    INFO(text);
    CHECK_FALSE(decode_base64(text));
  }
}

TEST_CASE("octal escapes become the bytes that they stand for") {
  CHECK(unescape_octal(R"(/mnt/a\040b\011c\134d)") == "/mnt/a b\tc\\d");
  CHECK(unescape_octal(R"(\303\244)") == "ä");
  CHECK(unescape_octal(R"(a\)") == R"(a\)");
  CHECK(unescape_octal(R"(\04)") == R"(\04)");
  CHECK(unescape_octal(R"(\089 \400 \-12)") == R"(\089 \400 \-12)");
  CHECK(unescape_octal(R"(\134040)") == R"(\040)");
}

TEST_CASE("UTF-8 is valid without surrogates, overlong forms and numbers beyond Unicode") {
  for (const std::string_view text :
       {"", "plain", "ä", "€", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    INFO(text);
    CHECK(is_utf8(text));
  }
  for (const std::string_view text :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82", "\xe2\x82z"}) {
    INFO(text);
    CHECK_FALSE(is_utf8(text));
  }
}

TEST_CASE("the printable beginning ends before control characters and what is no whole character") {
  // Of every size and at every place, since several bytes are looked at together.
  for (const std::string before :
       {"", "a", "abcdefg", "abcdefgh", "\xc3\xa9", "abc\xe6\x97\xa5", "\xf0\x9f\x9a\x80", "\xc2\xa0\xe0\xa0\x80"}) {
    for (const std::string end :
         {"\n", "\x1b", "\x7f", "\x1f", "\xc2\x80", "\xc2\x9f", "\xff", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf",
          "\xed\xa0\x80", "\x80", "\xe6\x97", "\xf0\x9f\x9a", "\xf4\x90\x80\x80", "\xc3", "\xe6z", "\xc3z"}) {
      for (const std::string after : {"", "x", "abcdefghijklmnop", "\x80\x80\x80"}) {
        if (after.starts_with('\x80') && (end == "\xe6\x97" || end == "\xf0\x9f\x9a" || end == "\xc3")) continue;
        CAPTURE(before, end, after);
        CHECK(printable_prefix(before + end + after) == before.size());
      }
    }
    CHECK(printable_prefix(before + "\t" + before) == 2 * before.size() + 1);
    CHECK(printable_prefix(before + "\t" + before, false) == before.size());
  }
}

TEST_CASE("a character's size is that of its UTF-8") {
  for (const char32_t character : {U'a', U'\x7f', U'\x80', U'\x7ff', U'\x800', U'\xffff', U'\x10000', U'\x10ffff'}) {
    std::string out;
    append_utf8(out, character);
    CHECK(out.size() == utf8_size(character));
    CHECK(first_character(out).character == character);
  }
}

TEST_CASE("a text is cut between characters") {
  CHECK(character_boundary("a€b", 2) == 1);
  CHECK(character_boundary("a€b", 4) == 4);
  CHECK(character_boundary("a€b", 9) == 5);
  CHECK(character_boundary("\x80\x80\x80\x80\x80\x80"sv, 5) == 2);  // not UTF-8: at most one character is lost
}

TEST_CASE("what could move a terminal's cursor is escaped, and nothing else") {
  CHECK(escape_controls("pull \"a:1\" \\ über 日本 ×") == "pull \"a:1\" \\ über 日本 ×");
  CHECK(escape_controls("a\nb\r\x1b[2J\x7f\tz") == "a\\nb\\x0d\\x1b[2J\\x7f z");
  CHECK(escape_controls("\xc2\x9b"
                        "31m") == "\\u009b31m");
  CHECK(escape_controls("\xff\xc2") == "\\xff\\xc2");
  CHECK(escape_controls("a\xe2\x80\xae"
                        "b") == "a\\u202eb");
  CHECK(escape_controls("\0x"sv) == "\\x00x");
  CHECK(escape_lines("two:\n  a\x1b[2J\r\n  b\n") == "two:\n  a\\x1b[2J\n  b");
}
