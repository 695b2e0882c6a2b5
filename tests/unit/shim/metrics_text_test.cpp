#include <catch2/catch_test_macros.hpp>

#include "shim/metrics/exposition.h"
#include "shim/metrics/registry.h"

using namespace dstack::shim;
using namespace dstack::shim::metrics;
using namespace std::chrono_literals;

TEST_CASE("a metric is its help, its type and its samples") {
  Exposition exposition;
  exposition.begin("tasks", "gauge", "How many.");
  exposition.sample(3, {{"status", "running"}});
  exposition.sample(0, {{"status", "pending"}, {"kind", "b"}});
  exposition.single("seconds_total", "counter", "How long.", 0.25);
  CHECK(exposition.text() ==
        "# HELP tasks How many.\n"
        "# TYPE tasks gauge\n"
        "tasks{status=\"running\"} 3\n"
        "tasks{status=\"pending\",kind=\"b\"} 0\n"
        "# HELP seconds_total How long.\n"
        "# TYPE seconds_total counter\n"
        "seconds_total 0.25\n");
}

TEST_CASE("a label's value may hold anything") {
  Exposition exposition;
  exposition.begin("m", "gauge", "h");
  exposition.sample(1, {{"l", "a\"b\\c\nd"}});
  CHECK(exposition.text().ends_with("m{l=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST_CASE("whole numbers and moments keep every digit") {
  Exposition exposition;
  exposition.begin("m", "gauge", "h");
  exposition.sample(1'795'000'123.5);
  exposition.sample(9'007'199'254'740'991);
  CHECK(exposition.text().ends_with("\nm 1795000123.5\nm 9007199254740991\n"));
}

TEST_CASE("a histogram's buckets hold those before them, and a value on a bound lies below it") {
  Histogram histogram({0.5, 1, 10});
  for (const Seconds value : {Seconds(0.25), Seconds(0.5), Seconds(0.75), Seconds(10), Seconds(10.5)})
    histogram.add(value);
  Exposition exposition;
  exposition.begin("h", "histogram", "help");
  exposition.histogram(histogram);
  CHECK(exposition.text() ==
        "# HELP h help\n"
        "# TYPE h histogram\n"
        "h_bucket{le=\"0.5\"} 2\n"
        "h_bucket{le=\"1\"} 3\n"
        "h_bucket{le=\"10\"} 4\n"
        "h_bucket{le=\"+Inf\"} 5\n"
        "h_sum 22\n"
        "h_count 5\n");
}

TEST_CASE("pulls are counted by how they ended, every reason from the start") {
  Registry registry;
  registry.pull_ended({.took = 3s});
  registry.pull_ended({.took = 20min, .failure = docker::PullFailure::stalled});
  registry.pull_ended({.took = 1s, .failure = docker::PullFailure::not_found});
  registry.pull_ended({.took = 1s, .failure = docker::PullFailure::not_found});
  docker::PullTimes times;
  times.change(docker::PullActivity::downloading, dstack::os::SteadyTime{1s});
  times.change(docker::PullActivity::unpacking, dstack::os::SteadyTime{6s});
  registry.pull_ended({.took = 0s, .failure = docker::PullFailure::no_space, .times = times});
  Exposition exposition;
  registry.write(exposition);
  const std::string& text = exposition.text();
  CHECK(
      text.contains("\ndstack_shim_image_pull_activity_seconds_total{activity=\"downloading\"} 5\n"
                    "dstack_shim_image_pull_activity_seconds_total{activity=\"unpacking\"} 0\n"
                    "dstack_shim_image_pull_activity_seconds_total{activity=\"waiting\"} 0\n"
                    "dstack_shim_image_pull_activity_seconds_total{activity=\"other\"} 1\n"));
  CHECK(text.contains("\ndstack_shim_image_pull_duration_seconds_bucket{le=\"2\"} 0\n"));
  CHECK(text.contains("\ndstack_shim_image_pull_duration_seconds_bucket{le=\"5\"} 1\n"));
  CHECK(text.contains("\ndstack_shim_image_pull_duration_seconds_sum 3\n"));
  CHECK(text.contains("\ndstack_shim_image_pull_duration_seconds_count 1\n"));
  CHECK(
      text.contains("\ndstack_shim_image_pull_failures_total{reason=\"not_found\"} 2\n"
                    "dstack_shim_image_pull_failures_total{reason=\"refused\"} 0\n"
                    "dstack_shim_image_pull_failures_total{reason=\"no_space\"} 1\n"
                    "dstack_shim_image_pull_failures_total{reason=\"stalled\"} 1\n"
                    "dstack_shim_image_pull_failures_total{reason=\"unavailable\"} 0\n"
                    "dstack_shim_image_pull_failures_total{reason=\"other\"} 0\n"));
}

TEST_CASE("starts and requests are counted; a path that is no route has no label of its own") {
  Registry registry;
  registry.task_started(150ms);
  registry.request_answered("/api/tasks/{id}", 200);
  registry.request_answered("/api/tasks/{id}", 200);
  registry.request_answered("/api/tasks/{id}", 404);
  registry.request_answered("", 404);
  Exposition exposition;
  registry.write(exposition);
  const std::string& text = exposition.text();
  CHECK(
      text.contains("\ndstack_shim_task_start_duration_seconds_bucket{le=\"0.1\"} 0\n"
                    "dstack_shim_task_start_duration_seconds_bucket{le=\"0.25\"} 1\n"));
  CHECK(
      text.contains("\ndstack_shim_http_requests_total{route=\"unknown\",code=\"404\"} 1\n"
                    "dstack_shim_http_requests_total{route=\"/api/tasks/{id}\",code=\"200\"} 2\n"
                    "dstack_shim_http_requests_total{route=\"/api/tasks/{id}\",code=\"404\"} 1\n"));
}
