#include <catch2/catch_test_macros.hpp>

#include "shim/docker/pull_progress.h"

using namespace dstack::shim::docker;
using namespace std::chrono_literals;

namespace {

std::string line(const std::string& id, const std::string& status) {
  return R"({"id":")" + id + R"(","status":")" + status + "\"}\n";
}

}  // namespace

TEST_CASE("what a pull does follows from the states of its layers") {
  PullStream stream;
  CHECK(stream.activity() == PullActivity::other);
  stream.take(line("a", "Already exists"));
  CHECK(stream.activity() == PullActivity::other);
  stream.take(line("b", "Pulling fs layer") + line("c", "Pulling fs layer"));
  CHECK(stream.activity() == PullActivity::downloading);
  stream.take(line("b", "Waiting") + line("c", "Waiting"));
  CHECK(stream.activity() == PullActivity::waiting);
  stream.take(line("b", "Downloading"));
  CHECK(stream.activity() == PullActivity::downloading);
  stream.take(line("b", "Download complete") + line("b", "Extracting"));
  CHECK(stream.activity() == PullActivity::unpacking);
  stream.take(line("c", "Downloading"));
  CHECK(stream.activity() == PullActivity::downloading);
  stream.take(line("b", "Pull complete") + line("c", "Download complete"));
  CHECK(stream.activity() == PullActivity::unpacking);
  stream.take(line("c", "Pull complete"));
  CHECK(stream.activity() == PullActivity::other);
}

TEST_CASE("the times of a pull add up to all of it") {
  const dstack::os::SteadyTime begin{1000s};
  PullTimes times(begin);
  times.change(PullActivity::waiting, begin + 1s);
  times.change(PullActivity::downloading, begin + 3s);
  times.change(PullActivity::downloading, begin + 4s);
  times.change(PullActivity::unpacking, begin + 7s);
  times.change(PullActivity::other, begin + 12s);
  CHECK(times.of(PullActivity::other) == 1s);
  CHECK(times.of(PullActivity::waiting) == 2s);
  CHECK(times.of(PullActivity::downloading) == 4s);
  CHECK(times.of(PullActivity::unpacking) == 5s);
  CHECK(in_words(times) == "downloading 4.0 s, unpacking 5.0 s, waiting 2.0 s, other 1.0 s");
}
