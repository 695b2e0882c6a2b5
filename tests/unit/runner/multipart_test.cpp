#include "runner/files/multipart.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"

using namespace dstack;
using namespace dstack::files;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

struct Received {
  FormParser::Part part;
  std::string content;
};

// Feeds the body in pieces of a size.
Received parse(std::string_view body, std::size_t piece) {
  Received received;
  FormParser parser(
      "xx", [&](const FormParser::Part& part) { received.part = part; },
      [&](std::string_view data) { received.content += data; });
  for (std::size_t at = 0; at < body.size(); at += piece) parser.feed(body.substr(at, piece));
  parser.finish();
  return received;
}

std::string form(const std::string& disposition, const std::string& content) {
  return "--xx\r\nContent-Disposition: " + disposition + "\r\nContent-Type: text/plain\r\n\r\n" + content +
         "\r\n--xx--\r\n";
}

void expect_refusal(std::string_view body, const char* reason) {
  CHECK_THROWS_MATCHES(parse(body, 7), Error, MessageMatches(ContainsSubstring(reason)));
}

}  // namespace

TEST_CASE("a form's part is the same in whatever pieces it arrives") {
  const std::string content =
      GENERATE(std::string(), std::string("words"), std::string("\r\n--x\r\n-\r--xx\n--xx-\r\n\r\n"),
               std::string("\0\xff\r", 3), std::string("\r\n"));
  const std::size_t piece = GENERATE(1u, 2u, 3u, 7u, 100000u);
  const Received received = parse(form("form-data; name=\"archive\"; filename=\"a \\\"b\\\"; c\"", content), piece);
  CHECK(received.part.field == "archive");
  CHECK(received.part.file_name == "a \"b\"; c");
  CHECK(received.content == content);
}

TEST_CASE("names are found however the header is written") {
  const std::string header =
      GENERATE("form-data; name=archive; filename=id", "form-data;NAME = \"archive\" ;fileName=\"id\"",
               "form-data; filename=\"id\"; name=archive");
  const Received received = parse(form(header, "x"), 5);
  CHECK(received.part.field == "archive");
  CHECK(received.part.file_name == "id");
}

TEST_CASE("what stands before the first boundary and behind the last is passed over") {
  CHECK(parse("preamble\r\n" + form("form-data; name=archive", "x") + "epilogue\r\n--xx\r\n", 4).content == "x");
}

TEST_CASE("a form that is not one whole part is refused with the reason") {
  expect_refusal("", "empty form");
  expect_refusal("--xx--\r\n", "empty form");
  expect_refusal("no boundary at all", "empty form");
  expect_refusal("--xx\r\nContent-Disposition: form-data; name=a\r\n\r\nx", "ends before");
  expect_refusal("--xx\r\nContent-Dispo", "ends before");
  expect_refusal("--xx rubbish", "malformed");
  expect_refusal("--xx\r\n\r\nx\r\n--xx\r\n\r\ny\r\n--xx--\r\n", "extra form field");
  expect_refusal("--xx\r\n" + std::string(100000, 'h'), "too long");
}

TEST_CASE("a part without names has empty ones") {
  CHECK(parse("--xx\r\n\r\nx\r\n--xx--\r\n", 3).part.field.empty());
  CHECK(parse(form("form-data", "x"), 3).part.file_name.empty());
}

TEST_CASE("the boundary comes out of the content type") {
  CHECK(multipart_boundary("multipart/form-data; boundary=abc") == "abc");
  CHECK(multipart_boundary("Multipart/Form-Data;charset=x; BOUNDARY=\"a b\"") == "a b");
  CHECK_THROWS_MATCHES(multipart_boundary(std::nullopt), Error,
                       MessageMatches(ContainsSubstring("missing content-type")));
  CHECK_THROWS_MATCHES(multipart_boundary("text/plain"), Error, MessageMatches(ContainsSubstring("text/plain")));
  CHECK_THROWS_MATCHES(multipart_boundary("multipart/form-data"), Error,
                       MessageMatches(ContainsSubstring("missing boundary")));
}
