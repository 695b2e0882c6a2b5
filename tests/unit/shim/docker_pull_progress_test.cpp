#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "shim/docker/pull_progress.h"

using namespace dstack::shim::docker;
using nlohmann::json;

namespace {

std::string line(const std::string& id, const std::string& status) {
  return json{{"id", id}, {"status", status}}.dump() + "\r\n";
}

std::string line(const std::string& id, const std::string& status, std::uint64_t current, std::uint64_t total) {
  return json{{"id", id}, {"status", status}, {"progressDetail", {{"current", current}, {"total", total}}}}.dump() +
         "\r\n";
}

}  // namespace

TEST_CASE("there is no progress before a layer is named") {
  PullStream stream;
  CHECK_FALSE(stream.progress());
  CHECK_FALSE(stream.take(line("3.11", "Pulling from library/python")));
  CHECK_FALSE(stream.progress());
}

TEST_CASE("layers that are there already have no bytes, and the total is final") {
  PullStream stream;
  stream.take(line("3.11", "Pulling from library/python") + line("aaa", "Already exists") +
              line("bbb", "Already exists"));
  CHECK(stream.progress() == PullProgress{0, 0, 0, true});
}

TEST_CASE("a pull from its first line to its last") {
  PullStream stream;
  stream.take(line("aaa", "Pulling fs layer") + line("bbb", "Pulling fs layer") + line("bbb", "Waiting"));
  CHECK(stream.progress() == PullProgress{0, 0, 0, false});
  stream.take(line("aaa", "Downloading", 100, 111));
  CHECK(stream.progress() == PullProgress{100, 0, 111, false});
  stream.take(line("bbb", "Downloading", 200, 222));
  CHECK(stream.progress() == PullProgress{300, 0, 333, true});
  stream.take(line("aaa", "Verifying Checksum") + line("aaa", "Download complete") + line("bbb", "Download complete"));
  CHECK(stream.progress() == PullProgress{333, 0, 333, true});
  stream.take(line("aaa", "Extracting", 11, 111) + line("bbb", "Extracting", 22, 222));
  CHECK(stream.progress() == PullProgress{333, 33, 333, true});
  stream.take(line("aaa", "Pull complete") + line("bbb", "Pull complete"));
  CHECK(stream.progress() == PullProgress{333, 333, 333, true});
  CHECK_FALSE(stream.completed());
  stream.take(R"({"status":"Digest: sha256:abc"})"
              "\n"
              R"({"status":"Status: Downloaded newer image for python:3.11"})"
              "\n");
  CHECK(stream.completed());
  CHECK(stream.error().empty());
}

TEST_CASE("an extraction counted in seconds leaves the bytes alone") {
  PullStream stream;
  stream.take(line("aaa", "Downloading", 200, 200) + line("aaa", "Download complete"));
  const std::string second = R"({"id":"aaa","status":"Extracting","progressDetail":{"current":1,"units":"s"}})"
                             "\n";
  CHECK(stream.take(second));
  CHECK_FALSE(stream.take(second));
  CHECK(stream.progress() == PullProgress{200, 0, 200, true});
  stream.take(line("aaa", "Pull complete"));
  CHECK(stream.progress() == PullProgress{200, 200, 200, true});
}

TEST_CASE("a layer of unknown size keeps the total open") {
  PullStream stream;
  stream.take(line("a", "Already exists") + line("b", "Downloading", 50, 100) + line("c", "Extracting", 100, 200) +
              line("d", "Waiting"));
  CHECK(stream.progress() == PullProgress{250, 100, 300, false});
}

TEST_CASE("only what changes is movement") {
  PullStream stream;
  CHECK(stream.take(line("a", "Downloading", 1, 10)));
  CHECK_FALSE(stream.take(line("a", "Downloading", 1, 10)));
  CHECK_FALSE(stream.take(line("a", "Retrying in 5 seconds")));
  CHECK_FALSE(stream.take("\n"));
  CHECK(stream.take(line("a", "Downloading", 2, 10)));
}

TEST_CASE("lines may be cut anywhere") {
  const std::string whole = line("a", "Downloading", 5, 10) + line("a", "Download complete");
  PullStream stream;
  for (const char byte : whole) stream.take({&byte, 1});
  CHECK(stream.progress() == PullProgress{10, 0, 10, true});
}

TEST_CASE("what is no progress line is passed over") {
  PullStream stream;
  stream.take(
      "garbage\n[1,2]\nnull\n{\"status\":5,\"id\":[],\"progressDetail\":7}\n"
      R"({"id":"a","status":"Downloading","progressDetail":{"current":-1,"total":"x"}})"
      "\n");
  CHECK(stream.progress() == PullProgress{0, 0, 0, false});
  stream.take(std::string(3 << 20, 'x'));
  stream.take("\n" + line("a", "Downloading", 1, 2));
  CHECK(stream.progress() == PullProgress{1, 0, 2, true});
}

TEST_CASE("members of the same names elsewhere in a line do not count") {
  PullStream stream;
  stream.take(R"({"aux":{"id":"x","status":"Status: done","error":"e","total":9},"more":[{"id":"y"},["z"]],"id":"a",)"
              R"("progressDetail":{"more":{"total":7},"current":1,"total":2},"status":"Downloading"})"
              "\n"
              R"([{"id":"b","status":"Downloading","errorDetail":{"message":"e"}}])"
              "\n");
  CHECK(stream.progress() == PullProgress{1, 0, 2, true});
  CHECK_FALSE(stream.completed());
  CHECK(stream.error().empty());
}

TEST_CASE("the engine's error is kept in its own words") {
  PullStream stream;
  stream.take(R"({"errorDetail":{"code":401,"message":"unauthorized"},"error":"e"})"
              "\n");
  CHECK(stream.error() == "unauthorized");
  stream.take(R"({"error":"only this"})"
              "\n");
  CHECK(stream.error() == "only this");
}

TEST_CASE("the numbers of containerd's image store are final once every layer is there") {
  PullStream stream;
  const auto there = [](const std::string& id, const std::string& status) {
    return json{{"id", id}, {"status", status}, {"progressDetail", {{"hidecounts", true}}}}.dump() + "\r\n";
  };
  stream.take(line("aaa", "Pulling fs layer") + line("bbb", "Pulling fs layer") + line("ccc", "Pulling fs layer"));
  CHECK(stream.progress() == PullProgress{0, 0, 0, false});
  stream.take(there("aaa", "Download complete") + there("ccc", "Already exists"));
  CHECK(stream.progress() == PullProgress{0, 0, 0, false});
  stream.take(line("bbb", "Downloading", 100, 200));
  CHECK(stream.progress() == PullProgress{100, 0, 200, true});
  stream.take(there("bbb", "Download complete") +
              R"({"status":"Extracting","progressDetail":{"current":1,"units":"s"},"id":"bbb"})"
              "\r\n");
  CHECK(stream.progress() == PullProgress{200, 0, 200, true});
  stream.take(R"({"status":"Status: Downloaded newer image for app:1"})"
              "\n");
  CHECK(stream.progress() == PullProgress{200, 200, 200, true});
}

TEST_CASE("an engine's error of several lines is one line") {
  PullStream stream;
  stream.take(R"({"errorDetail":{"message":"failed:\n\ttoo many\r\n\u001b[31mred\u009b0m\n"},"error":"e"})"
              "\n");
  CHECK(stream.error() == "failed: too many [31mred 0m");
}

TEST_CASE("the last word of Podman is seen") {
  PullStream stream;
  stream.take(line("abc", "Pulling fs layer") + line("abc", "Download complete"));
  CHECK(stream.may_be_completed_by_podman());
  CHECK_FALSE(stream.completed());
  stream.take(line("def", "Pulling fs layer"));
  CHECK_FALSE(stream.may_be_completed_by_podman());
}
