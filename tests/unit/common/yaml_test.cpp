#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/yaml/document.h"
#include "common/yaml/edit.h"

namespace dstack::yaml {

using nlohmann::json;

TEST_CASE("YAML is read with every scalar as the text that stands there") {
  const json found =
      parse("projects:\n- default: true\n  name: main\n  token: 0123\n  url: 'http://h:1'\nnothing: ~\n", "f");
  CHECK(found["projects"][0]["default"] == "true");
  CHECK(found["projects"][0]["token"] == "0123");
  CHECK(found["projects"][0]["url"] == "http://h:1");
  CHECK(found["nothing"].is_null());
  CHECK(parse("", "f").is_null());
  CHECK(parse("a: &x [1]\nb: *x\n", "f")["b"] == json::array({"1"}));
}

TEST_CASE("what is not YAML is an error that names the file and the line, and quotes nothing of it") {
  try {
    parse("token: s3cret\n  bad: [\n", "/home/config.yaml");
    FAIL("no error");
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(message.starts_with("/home/config.yaml: not YAML, line 2"));
    CHECK_FALSE(message.contains("s3cret"));
  }
}

TEST_CASE("a document that refers to itself, or grows without end, is an error") {
  CHECK_THROWS_AS(parse("&a [*a]", "f"), Error);
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += (k == 0 ? "*a" : ",*a") + last;
    bomb += "]\n";
  }
  CHECK_THROWS_AS(parse(bomb, "f"), Error);
  CHECK_THROWS_AS(parse("? [a]\n: b\n", "f"), Error);
}

TEST_CASE("values are replaced, added and taken out, and the other keys stay") {
  const std::string before = "token: old\nother: 'kept'\nlist: [a, b]\nname: gone\n";
  const std::string after =
      with_values(before, {{"token", "new"}, {"server", "http://h"}, {"name", std::nullopt}}, "f");
  const json found = parse(after, "f");
  CHECK(found["token"] == "new");
  CHECK(found["server"] == "http://h");
  CHECK(found["list"] == json::array({"a", "b"}));
  CHECK_FALSE(found.contains("name"));
  CHECK(after.contains("other: 'kept'"));
}

TEST_CASE("a text without data is an empty document") {
  CHECK(parse(std::string_view(), "f").is_null());
  CHECK_FALSE(has_comments_or_anchors(std::string_view(), "f"));
  CHECK(parse(with_values(std::string_view(), {{"a", "b"}}, "f"), "f")["a"] == "b");
}

TEST_CASE("of several values of one key the last counts, and none of them survives a change") {
  const std::string before = "token: a\nother: kept\ntoken: b\nprojects: x\nprojects:\n- name: main\n  url: u\n";
  CHECK(parse(before, "f")["token"] == "b");
  CHECK(parse(with_values(before, {{"token", "new"}}, "f"), "f")["token"] == "new");
  const json without = parse(with_values(before, {{"token", std::nullopt}}, "f"), "f");
  CHECK_FALSE(without.contains("token"));
  CHECK(without["other"] == "kept");
  const auto changed = with_item(before, {{.list = "projects", .key = "name", .value = "main"}},
                                 nlohmann::ordered_json{{"name", "main"}, {"url", "v"}}, "f");
  REQUIRE(changed);
  CHECK(parse(*changed, "f")["projects"][0]["url"] == "v");
}

TEST_CASE("what another reader would take for a number or a truth value is quoted") {
  const std::string text =
      with_values("", {{"a", "0123"}, {"b", "true"}, {"c", "x: y # z"}, {"d", ""}, {"e", "- f"}}, "f");
  CHECK(text.contains("a: \"0123\""));
  CHECK(text.contains("b: \"true\""));
  const json found = parse(text, "f");
  CHECK(found["c"] == "x: y # z");
  CHECK(found["d"] == "");
  CHECK(found["e"] == "- f");
}

TEST_CASE("a list in place of a mapping is not overwritten") {
  CHECK_THROWS_AS(with_values("- a\n", {{"b", "c"}}, "f"), Error);
}

namespace {

const std::vector<ListItem> kAwsOfMain = {{.list = "projects", .key = "name", .value = "main"},
                                          {.list = "backends", .key = "type", .value = "aws"}};
const nlohmann::ordered_json kAws = {{"type", "aws"}, {"regions", {"us-east-1"}}, {"flag", true}, {"none", nullptr}};

}  // namespace

TEST_CASE("an item is added to a list deep in a document, and the rest keeps its values and style") {
  const std::string before =
      "projects:\n- name: other\n- name: main\n  backends: []\nencryption:\n  keys: ['0123', on]\n";
  const auto after = with_item(before, kAwsOfMain, kAws, "f");
  REQUIRE(after);
  CHECK(*after ==
        "projects:\n- name: other\n- name: main\n  backends:\n  - type: aws\n    regions:\n    - us-east-1\n"
        "    flag: true\nencryption:\n  keys: ['0123', on]\n");
  // Again: nothing changes. Out: as before, but for the list's style.
  CHECK(with_item(*after, kAwsOfMain, kAws, "f") == after);
  CHECK(parse(*with_item(*after, kAwsOfMain, std::nullopt, "f"), "f") == parse(before, "f"));
}

TEST_CASE("an item replaces the one that is there, and no other") {
  const auto after =
      with_item("projects: [{name: main, backends: [{type: gcp, a: 1}, {type: aws, b: 2}]}]", kAwsOfMain, kAws, "f");
  const json found = parse(after.value(), "f")["projects"][0]["backends"];
  CHECK(found == json::parse(R"([{"type":"gcp","a":"1"},{"type":"aws","regions":["us-east-1"],"flag":"true"}])"));
}

TEST_CASE("a list that is missing or null is made, one that is no list is an error") {
  for (const char* text : {"projects:\n- name: main\n", "projects:\n- name: main\n  backends:\n"}) {
    CHECK(parse(with_item(text, kAwsOfMain, kAws, "f").value(), "f")["projects"][0]["backends"].size() == 1);
    CHECK(with_item(text, kAwsOfMain, std::nullopt, "f").has_value());
  }
  CHECK_THROWS_AS(with_item("projects:\n- name: main\n  backends: x\n", kAwsOfMain, kAws, "f"), Error);
  CHECK_THROWS_AS(with_item("projects: [", kAwsOfMain, kAws, "f"), Error);
}

TEST_CASE("nothing is added where the way to it is missing") {
  CHECK_FALSE(with_item("projects:\n- name: other\n", kAwsOfMain, kAws, "f"));
  CHECK_FALSE(with_item("", kAwsOfMain, kAws, "f"));
  CHECK_FALSE(with_item("[1]", kAwsOfMain, kAws, "f"));
}

TEST_CASE("comments and anchors are seen, and nothing else is taken for one") {
  for (const char* text : {"a: 1 # why\n", "# top\na: 1\n", "a: &x 1\nb: 2\n", "a: |  # why\n  text\n", "a: 1\n#"})
    CHECK(has_comments_or_anchors(text, "f"));
  for (const char* text : {"a: 'x # y'\nb: \"#\"\n", "a: x#y\n", "a: |\n  # of the text\n", "", "a: ü#\nb: '#'\n"})
    CHECK_FALSE(has_comments_or_anchors(text, "f"));
}

TEST_CASE("a value is written as an item that can be put into a file") {
  CHECK(to_yaml_item(kAws) == "- type: aws\n  regions:\n  - us-east-1\n  flag: true\n");
}

}  // namespace dstack::yaml
