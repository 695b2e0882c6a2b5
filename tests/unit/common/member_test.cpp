#include "common/json/member.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace dstack::json;

TEST_CASE("a member that is missing is null, and its text empty") {
  const nlohmann::json object = {{"a", "text"}, {"b", 1}, {"c", nullptr}};
  CHECK(member(object, "b") == 1);
  CHECK(member(object, "d").is_null());
  CHECK(member(nlohmann::json::array({1}), "a").is_null());
  CHECK(text_member(object, "a") == "text");
  for (const char* name : {"b", "c", "d"}) CHECK(text_member(object, name).empty());
  CHECK(text_member("a", "a").empty());
}
