#include "common/error.h"

#include <catch2/catch_test_macros.hpp>

#include "common/reason.h"

using namespace dstack;

TEST_CASE("an error of the system names what was tried, on what, and the reason") {
  const Error error = os_error("open", "/a/b", EACCES);
  CHECK(std::string(error.what()) == "open /a/b: Permission denied");
  CHECK(error.kind() == ErrorKind::denied);
  CHECK(os_error("read", "/a/b", EIO).kind() == ErrorKind::internal);
  CHECK(os_error("open", "/a/b", ENOENT).kind() == ErrorKind::not_found);
  CHECK(std::string(os_error("fork", "", EAGAIN).what()) == "fork: Resource temporarily unavailable");
}

TEST_CASE("the reason of an exception is its message, or that memory ran out") {
  CHECK(reason_of(Error(ErrorKind::conflict, "it is in use")) == "it is in use");
  CHECK(reason_of(std::bad_alloc()) == describe_errno(ENOMEM));
}

TEST_CASE("printable text keeps what can be read") {
  CHECK(printable("plain") == "\"plain\"");
  CHECK(printable("naïve 日本") == "\"naïve 日本\"");
}

TEST_CASE("printable text shows control characters, quotes and stray bytes as escapes") {
  CHECK(printable("a\"b\\c") == R"("a\"b\\c")");
  CHECK(printable("a\nb\x1b[31m") == R"("a\nb\x1b[31m")");
  CHECK(printable("\xff\xc3") == R"("\xff\xc3")");
  CHECK(printable("\xed\xa0\x80") == R"("\xed\xa0\x80")");  // a surrogate
  CHECK(printable("\xe0\x80\xaf") == R"("\xe0\x80\xaf")");  // an overlong '/'
  CHECK(printable("\xc2\x9b"
                  "31m\xc2\xa0") == "\"\\u009b31m\xc2\xa0\"");
}

TEST_CASE("printable text is cut at its limit") { CHECK(printable("abcdef", 3) == "\"abc…\""); }

TEST_CASE("printable text is not cut inside a character") { CHECK(printable("a€b", 3) == "\"a…\""); }
