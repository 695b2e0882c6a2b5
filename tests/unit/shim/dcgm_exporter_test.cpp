#include "shim/dcgm/exporter.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <condition_variable>
#include <csignal>
#include <format>
#include <mutex>
#include <thread>

#include "common/error.h"
#include "common/http/server.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "shim/dcgm/counters.h"
#include "shim/dcgm/helper.h"
#include "shim/dcgm/metrics_filter.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tools.h"

using namespace dstack;
using namespace dstack::shim::dcgm;
using namespace std::chrono_literals;

namespace {

constexpr const char* kUuid0 = "GPU-0781f3bb-da15-f334-d5db-37b3f19542d0";
constexpr const char* kUuid1 = "GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9";

constexpr const char* kMetrics = R"(# HELP DCGM_FI_DEV_SM_CLOCK Clock (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-0781f3bb-da15-f334-d5db-37b3f19542d0",modelName="Tesla T4"} 1365
DCGM_FI_DEV_SM_CLOCK{gpu="1",UUID="GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9",modelName="Tesla T4"} 300

# HELP DCGM_FI_DEV_XID_ERRORS Last XID.
DCGM_FI_DEV_XID_ERRORS{gpu="1",UUID="GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9"} 0
# a comment
DCGM_FI_DEV_NAKED{gpu="0",UUID="GPU-0781f3bb-da15-f334-d5db-37b3f19542d0"} 7
# TYPE DCGM_FI_DEV_OTHER counter
DCGM_FI_DEV_OTHER{UUID="GPU-0781f3bb-da15-f334-d5db-37b3f19542d0-and-more"} 8
)";

// dcgm-exporter's two halves: a process that just lives, and what answers on its port.
struct Fixture {
  test::FakeTools tools;
  test::TemporaryDirectory folder;
  test::FakeClock clock;
  http::Server server;
  std::atomic<int> fetches = 0;
  std::atomic<int> status = 200;
  std::mutex mutex;
  std::condition_variable released;
  bool hanging = false;
  int port;
  std::thread thread;

  Fixture() {
    tools.add("dcgm-exporter", "exec sleep 1000");
    server.get("/metrics", [this](const http::Request&) {
      ++fetches;
      std::unique_lock lock(mutex);
      released.wait(lock, [this] { return !hanging; });
      return http::Response::text(status, kMetrics);
    });
    port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
  }
  ~Fixture() {
    server.stop();
    thread.join();
  }
  ExporterSettings settings() const {
    return {.command = {"dcgm-exporter"}, .port = port, .interval = 5s, .counters_path = folder / "counters.csv"};
  }
};

}  // namespace

TEST_CASE("of the metrics a task gets those of its GPUs, with what they mean") {
  CHECK(metrics_of(kMetrics, {kUuid1}) ==
        "# HELP DCGM_FI_DEV_SM_CLOCK Clock (in MHz).\n# TYPE DCGM_FI_DEV_SM_CLOCK gauge\n"
        "DCGM_FI_DEV_SM_CLOCK{gpu=\"1\",UUID=\"GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9\",modelName=\"Tesla T4\"} 300\n"
        "# HELP DCGM_FI_DEV_XID_ERRORS Last XID.\n"
        "DCGM_FI_DEV_XID_ERRORS{gpu=\"1\",UUID=\"GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9\"} 0\n");
}

TEST_CASE("a metric without HELP and TYPE does not get those of another") {
  const std::string kept = metrics_of(kMetrics, {kUuid0});
  CHECK(kept.ends_with("1365\nDCGM_FI_DEV_NAKED{gpu=\"0\",UUID=\"GPU-0781f3bb-da15-f334-d5db-37b3f19542d0\"} 7\n"));
  CHECK_FALSE(kept.contains("XID"));
  CHECK_FALSE(kept.contains("OTHER"));
}

TEST_CASE("HELP and TYPE come once for several GPUs") {
  const std::string kept = metrics_of(kMetrics, {kUuid0, kUuid1});
  CHECK(kept.find("# TYPE DCGM_FI_DEV_SM_CLOCK") == kept.rfind("# TYPE DCGM_FI_DEV_SM_CLOCK"));
  CHECK(kept.contains(" 1365\n"));
  CHECK(kept.contains(" 300\n"));
}

TEST_CASE("a task without GPUs gets no metrics, and nonsense gives none") {
  CHECK(metrics_of(kMetrics, {}).empty());
  CHECK(metrics_of("", {kUuid0}).empty());
  CHECK(metrics_of("# HELP\n# TYPE\n#\n{\n\0\n", {kUuid0}).empty());
  CHECK(metrics_of("x{UUID=\"" + std::string(kUuid0) + "\"} 1\r\n", {kUuid0}) ==
        "x{UUID=\"" + std::string(kUuid0) + "\"} 1\n");
}

TEST_CASE("the counters are lines of three columns") {
  const std::string all = counters_file();
  int lines = 0;
  for (std::size_t begin = 0; begin < all.size(); ++lines) {
    const std::size_t end = all.find('\n', begin);
    const std::string line = all.substr(begin, end - begin);
    INFO(line);
    CHECK(line.starts_with("DCGM_FI_"));
    CHECK(std::ranges::count(line, ',') == 2);
    CHECK((line.contains(",gauge,") || line.contains(",counter,")));
    begin = end + 1;
  }
  CHECK(lines == 49);
}

TEST_CASE_METHOD(Fixture, "the exporter is started with its counters, its address and its interval") {
  {
    Exporter exporter(settings(), clock);
    while (tools.calls("dcgm-exporter") == 0) std::this_thread::yield();
    CHECK(tools.last_arguments("dcgm-exporter") ==
          std::format("-f {} -a localhost:{} -c 5000", (folder / "counters.csv").string(), port));
    CHECK(os::read_file(folder / "counters.csv") == counters_file());
  }
  CHECK(tools.calls("dcgm-exporter") == 1);
}

TEST_CASE_METHOD(Fixture, "metrics are fetched at most once an interval") {
  Exporter exporter(settings(), clock);
  CHECK(exporter.fetch() == kMetrics);
  CHECK(exporter.fetch() == kMetrics);
  CHECK(fetches == 1);
  clock.advance(4999ms);
  exporter.fetch();
  CHECK(fetches == 1);
  clock.advance(1ms);
  exporter.fetch();
  CHECK(fetches == 2);
}

TEST_CASE_METHOD(Fixture, "many who ask at once make one fetch") {
  Exporter exporter(settings(), clock);
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 8; ++i) callers.emplace_back([&] { exporter.fetch(); });
  }
  CHECK(fetches == 1);
}

TEST_CASE_METHOD(Fixture, "a failure is told, and is a fetch too") {
  Exporter exporter(settings(), clock);
  status = 500;
  CHECK_THROWS_AS(exporter.fetch(), Error);
  status = 200;
  CHECK_THROWS_AS(exporter.fetch(), Error);
  CHECK(fetches == 1);
  clock.advance(5s);
  CHECK(exporter.fetch() == kMetrics);
}

TEST_CASE_METHOD(Fixture, "nobody at the port is a failure") {
  auto other = settings();
  {
    http::Server closed;
    other.port = closed.bind("127.0.0.1", 0);
  }
  Exporter exporter(other, clock);
  CHECK_THROWS_AS(exporter.fetch(), Error);
}

TEST_CASE_METHOD(Fixture, "an exporter that hangs is given up on after ten seconds") {
  hanging = true;
  Exporter exporter(settings(), clock);
  std::optional<Error> error;
  std::jthread caller([&] {
    try {
      exporter.fetch();
    } catch (const Error& caught) {
      error = caught;
    }
  });
  while (fetches == 0) std::this_thread::yield();
  clock.advance(10s);
  caller.join();
  {
    const std::scoped_lock lock(mutex);
    hanging = false;
    released.notify_all();
  }
  REQUIRE(error);
  CHECK(std::string(error->what()).contains("/metrics"));
}

TEST_CASE_METHOD(Fixture, "an exporter that ends is started again, ever less often") {
  tools.add("dcgm-exporter", "echo 'cannot bind' >&2; exit 1");
  Exporter exporter(settings(), clock);
  const auto starts = [this] { return tools.calls("dcgm-exporter"); };
  for (const auto pause : {1s, 2s, 4s}) {
    const int before = starts();
    clock.await_pause_within(pause);
    CHECK(starts() >= before);
    clock.advance(pause - 1ms);
    clock.advance(1ms);
    while (starts() == before) std::this_thread::yield();
  }
}

TEST_CASE_METHOD(Fixture, "an exporter that is not there after all is no trouble") {
  auto other = settings();
  other.command = {"/nonexistent/dcgm-exporter"};
  Exporter exporter(other, clock);
  CHECK(exporter.fetch() == kMetrics);
}
