#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/http/server.h"
#include "shim/host_end/cloud.h"
#include "shim/host_end/moment.h"
#include "shim/host_end/systemd.h"
#include "shim/host_end/watch.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::host_end;
using namespace std::chrono_literals;

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

std::optional<Cloud> cloud_with(const std::string& name, const std::string& text) {
  const test::TemporaryDirectory root;
  write(root / "sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n");
  write(root / "sys/class/dmi/id/product_name", "Virtual Machine\n");
  write(root / "sys/class/dmi/id" / name, text + "\n");
  return find_cloud(root.path());
}

}  // namespace

TEST_CASE("a cloud is recognised by what the firmware says, and nothing else is taken for one") {
  CHECK(cloud_with("sys_vendor", "Amazon EC2") == Cloud::aws);
  CHECK(cloud_with("bios_version", "4.11.amazon") == Cloud::aws);
  CHECK(cloud_with("product_name", "Google Compute Engine") == Cloud::gcp);
  CHECK(cloud_with("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77") == Cloud::azure);
  // A machine under Hyper-V.
  CHECK_FALSE(cloud_with("bios_version", "Hyper-V UEFI Release v4.1"));
  CHECK_FALSE(find_cloud(test::TemporaryDirectory().path()));
}

TEST_CASE("moments are read as the clouds write them") {
  const os::WallTime moment{std::chrono::seconds(1'474'309'787)};
  CHECK(parse_iso_moment("2016-09-19T18:29:47Z") == moment);
  CHECK(parse_http_moment("Mon, 19 Sep 2016 18:29:47 GMT") == moment);
  CHECK(describe_moment(moment) == "at 2016-09-19T18:29:47Z");
  CHECK(describe_moment(std::nullopt) == "soon");
  for (const char* other : {"", "2016-09-19", "2016-09-19T18:29:47", "Mon, 19 Sep 2016 18:29:47 GMT and more"}) {
    CHECK_FALSE(parse_iso_moment(other));
    CHECK_FALSE(parse_http_moment(other));
  }
}

TEST_CASE("a scheduled shutdown is found in systemd's file, one that only warns is not one") {
  const test::TemporaryDirectory root;
  const auto found = [&](const std::string& content) {
    write(root / "run/systemd/shutdown/scheduled", content);
    return find_scheduled_shutdown(root.path());
  };
  CHECK_FALSE(find_scheduled_shutdown(root.path()));
  const auto notice = found("USEC=1474309787000000\nWARN_WALL=1\nMODE=reboot\n");
  REQUIRE(notice);
  CHECK(notice->down_at == os::WallTime(1'474'309'787s));
  CHECK(notice->cause == "a shutdown is scheduled (\"reboot\")");
  CHECK_FALSE(notice->final);
  for (const char* other :
       {"", "MODE=poweroff\n", "USEC=x\nMODE=poweroff\n", "USEC=1474309787000000\nMODE=dry-reboot\n"})
    CHECK_FALSE(found(other));
}

TEST_CASE("without systemd no host is shutting down") {
  CHECK_FALSE(is_shutting_down(test::TemporaryDirectory().path()));
}

namespace {

// A cloud whose service says what it is told to.
struct Answers {
  std::mutex mutex;
  std::optional<Notice> notice;
  bool fails = false;
  std::atomic<int> asked = 0;
};

class FakeSource final : public NoticeSource {
 public:
  explicit FakeSource(Answers& answers) : answers_(answers) {}
  std::optional<Notice> ask(const std::stop_token&) override {
    const std::scoped_lock lock(answers_.mutex);
    ++answers_.asked;
    if (answers_.fails) throw Error(ErrorKind::unavailable, "connect: Connection refused");
    return answers_.notice;
  }

 private:
  Answers& answers_;
};

struct WatchFixture {
  test::FakeClock clock;
  Answers cloud;
  Answers systemd;
  std::mutex mutex;
  std::vector<std::string> heard;
  Watch watch{[this](const std::string& message) {
                const std::scoped_lock lock(mutex);
                heard.push_back(message);
              },
              [this] {
                const std::scoped_lock lock(systemd.mutex);
                ++systemd.asked;
                return systemd.notice;
              },
              std::nullopt, std::make_unique<FakeSource>(cloud), clock};

  void set(Answers& answers, std::optional<Notice> notice, bool fails = false) {
    const std::scoped_lock lock(answers.mutex);
    answers.notice = std::move(notice);
    answers.fails = fails;
  }
  // Both have looked again, after what was set before.
  void look() {
    const int cloud_before = cloud.asked;
    const int systemd_before = systemd.asked;
    while (cloud.asked < cloud_before + 2 || systemd.asked < systemd_before + 2) {
      if (!clock.end_next_wait(10s)) std::this_thread::yield();
    }
  }
  std::vector<std::string> take_heard() {
    const std::scoped_lock lock(mutex);
    return std::exchange(heard, {});
  }
};

}  // namespace

TEST_CASE_METHOD(WatchFixture, "a final notice counts at once, again and again until it is called off") {
  look();
  CHECK(take_heard().empty());
  set(cloud, Notice{.cause = "the cloud wants it back", .down_at = clock.wall() + 24h});
  look();
  const auto first = take_heard();
  REQUIRE_FALSE(first.empty());
  CHECK(first.front().starts_with("The host goes down in 86"));
  CHECK(first.front().ends_with(" s: the cloud wants it back"));
  look();
  // What is heard of the same notice does not change as time passes.
  for (const std::string& message : take_heard()) CHECK(message == first.front());
  set(cloud, std::nullopt);
  look();
  take_heard();
  look();
  CHECK(take_heard().empty());
}

TEST_CASE_METHOD(WatchFixture, "a shutdown that can be called off counts two minutes ahead") {
  const os::WallTime down_at = clock.wall() + 1h;
  set(systemd, Notice{.cause = "a shutdown is scheduled", .down_at = down_at, .final = false});
  std::vector<std::string> messages;
  while (messages.empty()) {
    CHECK(clock.wall() < down_at);
    look();
    messages = take_heard();
  }
  CHECK(down_at - clock.wall() <= 2min);
  CHECK(messages.front().starts_with("The host goes down in 1"));
}

TEST_CASE("a scheduled shutdown is noticed when its file is written, while no time passes") {
  const test::TemporaryDirectory root;
  test::FakeClock clock;
  std::promise<std::string> heard;
  std::atomic<bool> has_heard = false;
  const Watch watch(
      [&](const std::string& message) {
        if (!has_heard.exchange(true)) heard.set_value(message);
      },
      [&] { return find_scheduled_shutdown(root.path()); }, os::PathWatch(shutdown_schedule(root.path())), nullptr,
      clock);
  const auto down_at = std::chrono::duration_cast<std::chrono::microseconds>((clock.wall() + 60s).time_since_epoch());
  write(shutdown_schedule(root.path()), std::format("USEC={}\nMODE=reboot\n", down_at.count()));
  CHECK(heard.get_future().get() == "The host goes down in 60 s: a shutdown is scheduled (\"reboot\")");
}

TEST_CASE_METHOD(WatchFixture, "a notice without a moment counts at once, one whose moment has passed too") {
  set(cloud, Notice{.cause = "no moment", .down_at = std::nullopt});
  set(systemd, Notice{.cause = "passed", .down_at = clock.wall() - 1h, .final = false});
  look();
  const auto messages = take_heard();
  CHECK(std::ranges::contains(messages, "The host goes down soon: no moment"));
  CHECK(std::ranges::contains(messages, "The host goes down in 0 s: passed"));
}

namespace {

// A metadata service with the answers of one cloud, by path.
struct Metadata {
  test::TemporaryDirectory root;
  test::FakeClock clock;
  http::Server server;
  std::mutex mutex;
  std::map<std::string, std::string> answers;
  int port = 0;
  std::thread thread;

  explicit Metadata(std::map<std::string, std::string> all) : answers(std::move(all)) {
    for (const auto& [path, answer] : answers) {
      server.get(path, [this, path](const http::Request&) {
        const std::scoped_lock lock(mutex);
        return http::Response::text(200, answers.at(path));
      });
    }
    port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
  }
  ~Metadata() {
    server.stop();
    thread.join();
  }
  void set(const std::string& path, const std::string& answer) {
    const std::scoped_lock lock(mutex);
    answers.at(path) = answer;
  }
  std::unique_ptr<NoticeSource> source(Cloud cloud) {
    return make_notice_source(cloud, std::format("http://127.0.0.1:{}", port), root.path(), clock);
  }
};

constexpr const char* kPreempted = "/computeMetadata/v1/instance/preempted";
constexpr const char* kMaintenance = "/computeMetadata/v1/instance/maintenance-event";
constexpr const char* kEvents = "/metadata/scheduledevents";

std::string azure_event(const std::string& type, const std::string& machine, const std::string& not_before) {
  return std::format(
      R"({{"EventId":"1","EventType":"{}","Resources":["{}"],"NotBefore":"{}","EventStatus":"Scheduled"}})", type,
      machine, not_before);
}

}  // namespace

TEST_CASE(
    "maintenance of Google Cloud counts a minute ahead, with GPUs an hour, and can be called off with them only") {
  Metadata metadata({{kPreempted, "FALSE"}, {kMaintenance, "NONE\n"}});
  const bool has_gpus = GENERATE(false, true);
  if (has_gpus) write(metadata.root / "dev/nvidiactl", "");
  const auto source = metadata.source(Cloud::gcp);
  CHECK_FALSE(source->ask({}));
  metadata.set(kMaintenance, "MIGRATE_ON_HOST_MAINTENANCE");
  CHECK_FALSE(source->ask({}));
  metadata.set(kMaintenance, "TERMINATE_ON_HOST_MAINTENANCE");
  const Notice expected{.cause = "Google Cloud stops this instance for maintenance",
                        .down_at = metadata.clock.wall() + (has_gpus ? 3600s : 60s),
                        .final = !has_gpus};
  CHECK(source->ask({}) == expected);
  // The moment stays as time passes.
  metadata.clock.advance(30s);
  CHECK(source->ask({}) == expected);
  // A preemption comes first.
  metadata.set(kPreempted, "TRUE");
  CHECK(source->ask({}) ==
        Notice{.cause = "Google Cloud preempts this instance", .down_at = metadata.clock.wall() + 30s});
  metadata.set(kPreempted, "FALSE");
  metadata.set(kMaintenance, "NONE");
  CHECK_FALSE(source->ask({}));
  metadata.set(kMaintenance, "TERMINATE_ON_HOST_MAINTENANCE");
  CHECK(source->ask({})->down_at == metadata.clock.wall() + (has_gpus ? 3600s : 60s));
}

TEST_CASE("of Azure's scheduled events those count that end or restart this machine") {
  Metadata metadata({{"/metadata/instance/compute/name", "worker_3"}, {kEvents, R"({"Events":[]})"}});
  const auto source = metadata.source(Cloud::azure);
  const auto ask = [&](std::initializer_list<std::string> events) {
    std::string list;
    for (const std::string& event : events) list += (list.empty() ? "" : ",") + event;
    metadata.set(kEvents, R"({"DocumentIncarnation":1,"Events":[)" + list + "]}");
    return source->ask({});
  };
  const std::string moment = "Mon, 19 Sep 2016 18:29:47 GMT";
  const os::WallTime down_at{1'474'309'787s};
  CHECK_FALSE(ask({}));
  for (const char* other : {"Freeze", "Something new"}) CHECK_FALSE(ask({azure_event(other, "worker_3", moment)}));
  for (const char* type : {"Preempt", "Terminate", "Reboot", "Redeploy"}) {
    CHECK_FALSE(ask({azure_event(type, "worker_1", moment)}));
    const bool restarts = type[0] == 'R';
    const auto notice = ask({azure_event("Freeze", "worker_3", ""), azure_event(type, "worker_3", moment)});
    REQUIRE(notice);
    CHECK(notice->cause == std::format("Azure {} ({})",
                                       restarts ? "restarts this virtual machine" : "takes this virtual machine back",
                                       type));
    CHECK(notice->down_at == down_at);
    CHECK(notice->final == !restarts);
  }
  // One that has begun has no moment.
  CHECK(ask({azure_event("Preempt", "worker_3", "")})->down_at == std::nullopt);
  for (const bool swapped : {false, true}) {
    const std::string reboot = azure_event("Reboot", "worker_3", moment);
    const std::string preempt = azure_event("Preempt", "worker_3", moment);
    CHECK(ask({swapped ? preempt : reboot, swapped ? reboot : preempt})->final);
  }
}

TEST_CASE_METHOD(WatchFixture, "a service that no longer answers takes nothing back") {
  set(cloud, Notice{.cause = "the cloud wants it back", .down_at = std::nullopt});
  look();
  set(cloud, std::nullopt, true);
  take_heard();
  look();
  CHECK_FALSE(take_heard().empty());
}
