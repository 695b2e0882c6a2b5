#include "common/json/object_reader.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"

using namespace dstack;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using json::ObjectReader;
using Json = nlohmann::json;

TEST_CASE("a body is one JSON object and nothing behind it") {
  CHECK(dstack::json::parse_object(R"( {"a": 1} )").at("a") == 1);
  for (const char* text : {"", "{", "{} x", "{}{}", "{\"a\":}", "{'a':1}", "\xff{}"}) {
    CHECK_THROWS_MATCHES(dstack::json::parse_object(text), Error, MessageMatches(ContainsSubstring("malformed JSON")));
  }
  CHECK_THROWS_MATCHES(dstack::json::parse_object("[1]"), Error, Message("expected a JSON object, got array"));
}

TEST_CASE("an absent field and a null give the default") {
  const Json object = {{"s", nullptr}, {"n", nullptr}, {"l", nullptr}, {"o", nullptr}};
  const ObjectReader reader(object);
  CHECK(reader.string("s", "x") == "x");
  CHECK(reader.string("absent", "x") == "x");
  CHECK_FALSE(reader.optional_string("s"));
  CHECK(reader.integer("n", 7) == 7);
  CHECK(reader.boolean("n", true));
  CHECK(reader.number("n", 1.5) == 1.5);
  CHECK(reader.strings("l").empty());
  CHECK(reader.string_map("o").empty());
  CHECK_FALSE(reader.object("o", [](const ObjectReader&) { FAIL("called for null"); }));
  CHECK_FALSE(reader.has("s"));
}

TEST_CASE("a wrong type names the field by its path") {
  const Json object = {{"user", {{"uid", "x"}}}, {"list", {"a", 1}}, {"volumes", {{{"name", 5}}}}, {"env", {{"A", 1}}}};
  const ObjectReader reader(object);
  CHECK_THROWS_MATCHES(reader.object("user", [](const ObjectReader& user) { user.integer("uid"); }), Error,
                       Message("user.uid: expected a number, got string"));
  CHECK_THROWS_MATCHES(reader.strings("list"), Error, Message("list[1]: expected a string, got number"));
  CHECK_THROWS_MATCHES(reader.objects("volumes", [](const ObjectReader& volume) { volume.string("name"); }), Error,
                       Message("volumes[0].name: expected a string, got number"));
  CHECK_THROWS_MATCHES(reader.string_map("env"), Error, Message("env.A: expected a string, got number"));
  CHECK_THROWS_MATCHES(reader.boolean("list"), Error, Message("list: expected a boolean, got array"));
}

TEST_CASE("whole numbers are kept exactly and out-of-range ones refused") {
  const Json object =
      Json::parse(R"({"big": 9223372036854775807, "over": 9223372036854775808, "float": 10.0, "half": 1.5})");
  const ObjectReader reader(object);
  CHECK(reader.integer("big") == INT64_MAX);
  CHECK(reader.integer("float") == 10);
  CHECK_THROWS_AS(reader.integer("over"), Error);
  CHECK_THROWS_AS(reader.integer("half"), Error);
  CHECK_THROWS_MATCHES(reader.integer("float", 0, 0, 9), Error, Message("float: 10 is out of range"));
}
