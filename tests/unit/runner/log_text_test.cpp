#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <random>
#include <string>

#include "tests/unit/runner/log_text.h"

using namespace std::chrono_literals;
using dstack::test::LogText;
using dstack::test::plain_text;

TEST_CASE("lines keep blanks, tabs and empty lines, and end in a newline") {
  CHECK(plain_text("one\r\n\r\n\ttwo  \r\n three\r\n") == "one\n\n\ttwo  \n three\n");
  CHECK(plain_text("bare newline\n\n") == "bare newline\n\n");
  CHECK(plain_text("twice\r\r\n") == "twice\n");
  CHECK(plain_text("no end") == "no end\n");
  CHECK(plain_text("").empty());
  CHECK(plain_text("\r\n") == "\n");
}

TEST_CASE("a carriage return writes over the line") {
  CHECK(plain_text("10%\r20%\r100%\r\n") == "100%\n");
  CHECK(plain_text("longer\rshort\r\n") == "shortr\n");
  CHECK(plain_text("\rx\r\n") == "x\n");
  CHECK(plain_text("wiped out\r         \rnew\r\n") == "new\n");
}

TEST_CASE("a line that is written over again and again shows what was written last") {
  const std::string bar = "\xe2\x96\x88";
  std::string output;
  for (std::size_t i = 0; i <= 20; ++i) {
    output += "\rcopied: |";
    for (std::size_t k = 0; k < 20; ++k) output += k < i ? bar : " ";
    output += "| " + std::to_string(i * 5) + " % of the whole thing, 12 it/s";
  }
  std::string full;
  for (std::size_t k = 0; k < 20; ++k) full += bar;
  CHECK(plain_text(output + "\r\n") == "copied: |" + full + "| 100 % of the whole thing, 12 it/s\n");
  // Over characters of another size, and in part.
  CHECK(plain_text("0123456789abcdef0123456789\r" + bar + "\xe6\x97\xa5\r\n") ==
        bar + "\xe6\x97\xa5" + "3456789abcdef0123456789\n");
  CHECK(plain_text("\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\r012345678\r\n") == "012345678\n");
  CHECK(plain_text("e\xcc\x81tat 0123456789abcdef\retat 0123456789\r\n") == "etat 0123456789abcdef\n");
}

TEST_CASE("backspaces and cursor movements place what follows") {
  CHECK(plain_text("abc\b\bX\r\n") == "aXc\n");
  CHECK(plain_text("a\b\b\bX\r\n") == "X\n");
  CHECK(plain_text("abcdef\x1b[3DX\r\n") == "abcXef\n");
  CHECK(plain_text("abcdef\x1b[2GX\r\n") == "aXcdef\n");
  CHECK(plain_text("a\x1b[3CX\r\n") == "a   X\n");
  CHECK(plain_text("abc\r\x1b[CX\r\n") == "aXc\n");
  CHECK(plain_text("ab\x1b[5`X\r\n") == "ab  X\n");
  CHECK(plain_text("ab\x1b[sc\x1b[uX\r\n") == "abX\n");
  CHECK(plain_text("ab\x1b\x37"
                   "c\x1b\x38X\r\n") == "abX\n");
}

TEST_CASE("erasing takes text away") {
  CHECK(plain_text("progress 10%\r\x1b[Kdone\r\n") == "done\n");
  CHECK(plain_text("abcdef\x1b[3D\x1b[K\r\n") == "abc\n");
  CHECK(plain_text("abcdef\x1b[3D\x1b[1K\r\n") == "    ef\n");
  CHECK(plain_text("abcdef\x1b[2K\rx\r\n") == "x\n");
  CHECK(plain_text("abcdef\r\x1b[2X\r\n") == "  cdef\n");
  CHECK(plain_text("abcdef\r\x1b[2P\r\n") == "cdef\n");
  CHECK(plain_text("abcdef\r\x1b[2@\r\n") == "  abcdef\n");
  CHECK(plain_text("abc\x1b[2J\rx\r\n") == "x\n");
}

TEST_CASE("a repeated character is there as often as it is shown") {
  CHECK(plain_text("-\x1b[4b>\r\n") == "----->\n");
  CHECK(plain_text("a\t\x1b[4bb\r\n") == "a\tb\n");
}

TEST_CASE("a tab that is written over becomes blanks") {
  CHECK(plain_text("a\tb\r\n") == "a\tb\n");
  CHECK(plain_text("a\tb\r\x1b[2CX\r\n") == "a X     b\n");
  CHECK(plain_text("abc\r\tX\r\n") == "abc     X\n");
}

TEST_CASE("colours, titles, links, charsets and unknown sequences leave no trace") {
  CHECK(plain_text("\x1b[1;31mred\x1b[0m\r\n") == "red\n");
  CHECK(plain_text("\x1b[38:2::1:2:3mred\x1b[m\r\n") == "red\n");
  CHECK(plain_text("\x1b]0;title\x07text\r\n") == "text\n");
  CHECK(plain_text("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\r\n") == "link\n");
  CHECK(plain_text("\x1b(0\x1b(Btext\x1b%G\x0e\x0f\r\n") == "text\n");
  CHECK(plain_text("\x1b[?25l\x1b[?2004hx\x1b[>4;1m\x1b[!p\x1b=\x1b>\x1b[99y\r\n") == "x\n");
  CHECK(plain_text("\x1bP1$r0m\x1b\\a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\r\n") == "abc\n");
  CHECK(plain_text("a\x07\x01\x7f\x05"
                   "b\r\n") == "ab\n");
  // U+009B stands for ESC [.
  CHECK(plain_text("\xc2\x9b"
                   "31mred\r\n") == "red\n");
}

TEST_CASE("a sixel picture leaves no trace, with its line ends") {
  CHECK(plain_text("a\x1bPq#0;2;0;0;0\n#0~~@@\nvv@@~~\x1b\\b\r\n") == "ab\n");
}

TEST_CASE("an unfinished sequence ends with its line and takes no more with it") {
  CHECK(plain_text("a\x1b[3\r\nb\r\n") == "a\nb\n");
  CHECK(plain_text("a\x1b]0;title\r\nb\r\n") == "a\nb\n");
  CHECK(plain_text("a\x1bPdevice\r\nb\r\n") == "a\nb\n");
  CHECK(plain_text("a\x1b\r\nb\r\n") == "a\nb\n");
  CHECK(plain_text("a\x1b[3\x18"
                   "b\r\n") == "ab\n");
  CHECK(plain_text("end\x1b[") == "end\n");
}

TEST_CASE("what is not UTF-8 is dropped and characters stay whole") {
  CHECK(plain_text("caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x9a\x80\r\n") ==
        "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x9a\x80\n");
  CHECK(plain_text("a\xff\xfe"
                   "b\xc3(c\xe2\x82\r\n") == "ab(c\n");
  CHECK(plain_text("a\xed\xa0\x80"
                   "b\xc0\xaf"
                   "c\xf5\x80\x80\x80"
                   "d\r\n") == "abcd\n");
  CHECK(plain_text("cut\xe2\x82") == "cut\n");
}

TEST_CASE("wide characters take two columns and marks none") {
  CHECK(plain_text("\xe6\x97\xa5\xe6\x9c\xac\rX\r\n") == "X \xe6\x9c\xac\n");
  CHECK(plain_text("\xe6\x97\xa5\xe6\x9c\xac\x1b[2DX\r\n") == "\xe6\x97\xa5X\n");
  CHECK(plain_text("\xe6\x97\xa5\xe6\x9c\xac\x1b[1DX\r\n") == "\xe6\x97\xa5 X\n");
  CHECK(plain_text("e\xcc\x81z\x1b[1DX\r\n") == "e\xcc\x81X\n");
  CHECK(plain_text("e\xcc\x81z\rX\r\n") == "Xz\n");
}

TEST_CASE("lines that the cursor went up to are written over") {
  CHECK(plain_text("one\r\ntwo\r\n\x1b[2Anew\r\n\r\n") == "new\ntwo\n");
  CHECK(plain_text("a 1%\r\nb 1%\r\n\x1b[2A\x1b[2Ka 9%\r\n\x1b[2Kb 9%\r\nend\r\n") == "a 9%\nb 9%\nend\n");
  CHECK(plain_text("\x1b[31mone\x1b[0m\r\ntwo\r\n\x1b[Anew\r\nend\r\n") == "one\nnew\nend\n");
  CHECK(plain_text("one\r\ntwo\r\n\x1b[2A\x1b[Jnew\r\n") == "new\n");
  CHECK(plain_text("one\r\n\x1bMnew\x1b[Bdown\r\n") == "new\n   down\n");
  CHECK(plain_text("one\r\ntwo\r\nthree\x1b[2Fnew\x1b[2E!\r\n") == "new\ntwo\n!hree\n");
}

TEST_CASE("clearing the screen keeps what the log has") {
  CHECK(plain_text("before\r\n\x1b[H\x1b[2J\x1b[3Jafter\r\n") == "before\nafter\n");
  CHECK(plain_text("before\x1b[H\x1b[2Jafter\r\n") == "before\nafter\n");
}

TEST_CASE("text is the same whatever the pieces it comes in") {
  const std::string mixed =
      "plain line\r\n\ttabs\tand  blanks \r\n\r\n10%\r20%\r\x1b[Kdone \xe2\x9c\x94\r\n\x1b[1;32mgreen\x1b[0m and "
      "\x1b]8;;u\x07link\x1b]8;;\x07\r\n"
      "\xe6\x97\xa5\xe6\x9c\xac\b\bx\xff\xe2\x28\r\nbar a\r\nbar b\r\n\x1b[2A\x1b[Kbar A\r\n\x1b[Kbar "
      "B\r\nabc\x1b[10CX\x1b[3b\r\r\r\nlast";
  const std::string whole = plain_text(mixed);
  for (std::size_t piece = 1; piece <= mixed.size(); ++piece) CHECK(plain_text(mixed, piece) == whole);
}

TEST_CASE("text of random output is the same whatever the pieces it comes in") {
  std::mt19937 random(GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U));
  const std::string words[] = {
      "a",       "bc",      "word ",  "\t",    "\r\n",         "\n",       "\r",      "\b",       "\x1b[K",
      "\x1b[2K", "\x1b[",   "\x1b[A", "3",     "\x1b[2A",      "\x1b[5D",  "\x1b[9C", "\x1b[31m", "\x1b]0;t",
      "\x07",    "\x1b\\",  "\xc3",   "\xa9",  "\xe6\x97\xa5", "\xcc\x81", "\xff",    "\x1b[3b",  "\x1b[J",
      "\x1b[2P", "\x1b[2@", "\x1bP",  "\x1bM", "\v",           "\x1b[H",   "\x1b[B",  "\x1b[99G", "\x1b[1K"};
  std::string output;
  while (output.size() < 20000) output += words[random() % std::size(words)];
  const std::string whole = plain_text(output);
  for (const std::size_t piece : {1U, 2U, 3U, 5U, 17U, 64U, 1000U, 4095U}) CHECK(plain_text(output, piece) == whole);
}

TEST_CASE("a long line leaves in events of at most 32 KiB, whole characters each") {
  const std::string one = "0123456789\xe2\x82\xac";
  std::string line;
  while (line.size() < 200000) line += one;
  for (const std::string start : {"", "\x1b[1m", "x\ry"}) {
    LogText text;
    text.give(start + line + "\r\nnext\r\n");
    text.finish();
    CHECK(text.all() == (start == "x\ry" ? "y" : "") + line + "\nnext\n");
    for (const std::string& event : text.events) {
      CHECK(event.size() <= 32768);
      CHECK((static_cast<unsigned char>(event.front()) & 0xc0) != 0x80);
    }
    CHECK(text.events.size() <= 9);
  }
}

TEST_CASE("lines share events of at most 32 KiB, which end with a line") {
  std::string output;
  for (int i = 0; i < 20000; ++i) output += "line " + std::to_string(i) + "\r\n";
  LogText text;
  text.give(output);
  text.finish();
  std::erase(output, '\r');
  CHECK(text.all() == output);
  CHECK(text.copied == 0);
  for (const std::string& event : text.events) {
    CHECK(event.size() <= 32768);
    CHECK(event.ends_with('\n'));
  }
  CHECK(text.events.size() < 10);
}

TEST_CASE("coloured lines share events and are not copied") {
  std::string output;
  std::string expected;
  for (int i = 0; i < 20000; ++i) {
    output += "\x1b[32mINFO\x1b[0m step \x1b[1m" + std::to_string(i) + "\x1b[m\r\n";
    expected += "INFO step " + std::to_string(i) + "\n";
  }
  LogText text;
  for (std::size_t i = 0; i < output.size(); i += 1000) text.give(std::string_view(output).substr(i, 1000));
  text.finish();
  CHECK(text.all() == expected);
  CHECK(text.copied == 0);
  for (const std::string& event : text.events) CHECK(event.ends_with('\n'));
  CHECK(text.events.size() < 12);
}

TEST_CASE("coloured lines are what a terminal shows of them") {
  std::mt19937 random(GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U));
  const std::string parts[] = {"a",        "word ",   "\t",       "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x9a\x80",
                               "\xcc\x81", "\x1b[m",  "\x1b[31m", "\x1b[K",   "\b",           "\x1b[2b",
                               "\xff",     "\x1b[2D", "\x1b",     "\x1b[1"};
  std::string output;
  std::string on_screen;
  for (int line = 0; line < 500; ++line) {
    // Mostly those that need nothing but to lose their colours.
    const std::size_t kinds = random() % 8 == 0 ? std::size(parts) : 9;
    std::string text;
    for (std::size_t count = random() % 20; count > 0; --count) text += parts[random() % kinds];
    if (random() % 100 == 0) text.append(40000, 'x');
    text += random() % 4 == 0 ? "\r\r\n" : "\r\n";
    output += text;
    // Nothing comes of this sequence, but it takes the line to the screen.
    on_screen += "\x1b[99y" + text;
  }
  CHECK(plain_text(output) == plain_text(on_screen));
}

TEST_CASE("colours without text do not make an event any larger") {
  std::string output;
  for (int i = 0; i < 200'000; ++i) output += "\x1b[0m";
  LogText text;
  text.give(output + "end\r\n" + output);
  text.finish();
  CHECK(text.all() == "end\n");
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "\x1b[38;2;100;100;100m\x1b[48;2;100;100;100mx\x1b[m\r\n";
  LogText text_of_lines;
  text_of_lines.give(lines);
  text_of_lines.finish();
  CHECK(text_of_lines.all().size() == 40000);
  CHECK(text_of_lines.largest_raw <= std::size_t{256} << 10);
}

TEST_CASE("only what is near a changed line is copied") {
  std::string output;
  for (int i = 0; i < 20000; ++i) output += i % 5000 == 4999 ? "10%\r99%\r\n" : "a line that stays as it is\r\n";
  LogText text;
  text.give(output);
  text.finish();
  CHECK(text.copied < output.size() / 10);
}

TEST_CASE("a complete line leaves within half a second") {
  LogText text;
  text.give("line\r\n");
  CHECK(text.events.empty());
  REQUIRE(text.deadline());
  CHECK(*text.deadline() < 500ms);
  text.pass(*text.deadline());
  CHECK(text.events == std::vector<std::string>{"line\n"});
  CHECK_FALSE(text.deadline());
}

TEST_CASE("lines that never pause leave all the same") {
  LogText text;
  for (int i = 0; i < 50; ++i) {
    text.give("line\r\n");
    text.pass(20ms);
  }
  CHECK(text.events.size() >= 4);
}

TEST_CASE("a line leaves whole although it was printed with pauses") {
  LogText text;
  text.give("one ");
  text.pass(1s);
  text.give("line");
  text.pass(1s);
  text.give("\r\n");
  text.pass(500ms);
  CHECK(text.events == std::vector<std::string>{"one line\n"});
}

TEST_CASE("the beginning of a line leaves after 3 s, and the rest follows it") {
  const std::string colour = GENERATE("", "\x1b[1m");
  LogText text;
  text.give(colour + "Password: ");
  text.pass(2999ms);
  CHECK(text.events.empty());
  text.pass(1ms);
  CHECK(text.events == std::vector<std::string>{"Password: "});
  text.pass(60s);
  CHECK(text.events.size() == 1);
  text.give("ok\r\n");
  text.pass(500ms);
  CHECK(text.all() == "Password: ok\n");
}

TEST_CASE("a beginning that has left and is written over leaves again as a line of its own") {
  LogText text;
  text.give("step 1");
  text.pass(3s);
  text.give("\rstep 2\r\n");
  text.pass(500ms);
  CHECK(text.all() == "step 1\nstep 2\n");
}

TEST_CASE("a line written over in place leaves half a second after the last movement") {
  LogText text;
  text.give("10%\r20%");
  text.pass(499ms);
  CHECK(text.events.empty());
  text.pass(1ms);
  CHECK(text.events == std::vector<std::string>{"20%\n"});
  text.give("\r20%");
  text.pass(10s);
  CHECK(text.all() == "20%\n");
  text.give("\r30%\r\n");
  text.pass(500ms);
  CHECK(text.all() == "20%\n30%\n");
}

TEST_CASE("a line written over without a pause leaves every 3 s") {
  LogText text;
  for (int i = 0; i < 100; ++i) {
    text.give("\r" + std::to_string(i));
    text.pass(100ms);
  }
  text.give("\r\n");
  text.pass(500ms);
  CHECK(text.events.size() >= 3);
  CHECK(text.events.size() <= 5);
  CHECK(text.events.back() == "99\n");
}

TEST_CASE("a line that has left as it is leaves no second time when it ends") {
  LogText text;
  text.give("1%\r2%");
  text.pass(3s);
  text.give("\r\nnext\r\n");
  text.finish();
  CHECK(text.all() == "2%\nnext\n");
}

TEST_CASE("a list of progress bars leaves every 3 s while it is redrawn and once more at its end") {
  LogText text;
  text.give("a 0\r\nb 0\r\n");
  for (int i = 1; i <= 100; ++i) {
    const std::string number = std::to_string(i);
    text.give("\x1b[2A\x1b[2Ka " + number + "\r\n\x1b[2Kb " + number + "\r\n");
    text.pass(100ms);
  }
  text.give("done\r\n");
  text.finish();
  CHECK(text.all().ends_with("a 100\nb 100\ndone\n"));
  CHECK(std::ranges::count(text.all(), '\n') <= 11);
}

TEST_CASE("lines that have left come again only where they were written to") {
  LogText text;
  text.give("one\r\ntwo\r\n");
  text.pass(1s);
  text.give("\x1b[2Anew\r\n\r\nend\r\n");
  text.finish();
  CHECK(text.all() == "one\ntwo\nnew\nend\n");
}

TEST_CASE("a few bytes of control sequence do not become a page of blanks") {
  std::string output;
  for (int i = 0; i < 100; ++i) output += "\x1b[65535Cx\x1b[65535@\x1b[9999b\x1b[999Bx\r\n";
  CHECK(plain_text(output).size() < 500000);
  CHECK(plain_text("\x1b[999Ax\r\n").size() < 300);
}

TEST_CASE("a saved place is restored with its line") {
  CHECK(plain_text("one\r\ntwo\r\n\x1b\x37\x1b[2AONE\x1b\x38three\r\n") == "ONE\ntwo\nthree\n");
  CHECK(plain_text("one\r\ntwo\r\n\x1b[s\x1b[AT\x1b[uthree\r\n") == "one\nTwo\nthree\n");
  CHECK(plain_text("a\r\n\x1b\x37"
                   "b\r\nc\r\n\x1b\x38X\r\n") == "a\nX\nc\n");
}
