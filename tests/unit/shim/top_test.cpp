#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <ftxui/screen/screen.hpp>
#include <nlohmann/json.hpp>

#include "common/text/split.h"
#include "shim/client/text.h"
#include "shim/docker/container_usage.h"
#include "shim/top/collector.h"
#include "shim/top/figures.h"
#include "shim/top/gpu_usage.h"
#include "shim/top/history.h"
#include "shim/top/host_usage.h"
#include "shim/top/report.h"
#include "shim/top/view.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::top;

namespace {

TaskRow task(const std::string& name, const std::string& status, std::vector<std::string> gpus = {}) {
  TaskRow row;
  row.task.id = name + "-0123456789";
  row.task.name = name;
  row.task.status = status;
  row.task.image = "registry.example/a/long/image/name:with-a-tag";
  row.task.gpu_ids = std::move(gpus);
  return row;
}

Snapshot busy_host() {
  Snapshot snapshot;
  snapshot.host = "gpu-host";
  snapshot.cpu_percent = 34.4;
  snapshot.memory = Memory{.used = 3ull << 30, .total = 8ull << 30};
  snapshot.disk = Memory{.used = 300ull << 30, .total = 500ull << 30};
  for (int i = 0; i < 8; ++i) {
    snapshot.gpus.push_back({.id = "GPU-" + std::to_string(i),
                             .name = "NVIDIA H100 80GB HBM3",
                             .use_percent = 10 * i,
                             .memory = Memory{.used = 1ull << 30, .total = 80ull << 30},
                             .temperature = 60,
                             .task_id = {}});
  }
  for (int i = 0; i < 30; ++i) snapshot.tasks.push_back(task("task-" + std::to_string(i), "running"));
  snapshot.tasks[0].task.gpu_ids = {"GPU-0", "GPU-2"};
  snapshot.tasks[1].task.status = "pulling";
  snapshot.tasks[1].task.pull = shim::client::PullView{.downloaded = 450, .total = 1000, .total_is_final = true};
  match_gpus(snapshot);
  return snapshot;
}

std::vector<std::string> drawn(const Snapshot& snapshot, const ViewState& state, const Terminal& terminal) {
  auto screen = ftxui::Screen::Create(ftxui::Dimension::Fixed(static_cast<int>(terminal.width)),
                                      ftxui::Dimension::Fixed(static_cast<int>(terminal.height)));
  Trends trends;
  trends.add(snapshot);
  ftxui::Render(screen, view(snapshot, trends, state, terminal));
  std::vector<std::string> lines;
  for (int y = 0; y < screen.dimy(); ++y) {
    lines.emplace_back();
    for (int x = 0; x < screen.dimx(); ++x) lines.back() += screen.PixelAt(x, y).character;
  }
  return lines;
}

bool any_contains(const std::vector<std::string>& lines, std::string_view text) {
  return std::ranges::any_of(lines, [text](const std::string& line) { return line.contains(text); });
}

}  // namespace

TEST_CASE("bytes are shown with at most three digits and a binary unit") {
  CHECK(bytes_text(std::uint64_t{0}) == "0B");
  CHECK(bytes_text(std::uint64_t{999}) == "999B");
  CHECK(bytes_text(std::uint64_t{1000}) == "1.0K");
  CHECK(bytes_text(std::uint64_t{512} << 20) == "512M");
  CHECK(bytes_text(std::uint64_t{80} << 30) == "80.0G");
  CHECK(bytes_text(std::optional<Memory>()) == "-");
}

TEST_CASE("a sparkline shows the latest values, scaled, in blocks or in ASCII") {
  History history(3);
  for (const double value : {50.0, 0.0, 100.0, 200.0}) history.add(value);
  CHECK(history.values().size() == 3);
  CHECK(sparkline(history, 100, 4, true) == " ▁██");
  CHECK(sparkline(history, 100, 2, false) == "##");
}

TEST_CASE("CPU percent is the busy share of what passed between two looks") {
  CHECK(cpu_percent({.busy = 100, .total = 1000}, {.busy = 150, .total = 1100}) == 50.0);
  CHECK_FALSE(cpu_percent({.busy = 100, .total = 1000}, {.busy = 100, .total = 1000}));
}

TEST_CASE("the kernel's figures of CPU and memory are read") {
  const test::TemporaryDirectory root;
  std::filesystem::create_directory(root.path() / "proc");
  std::ofstream(root / "proc/stat") << "cpu  10 1 5 70 4 3 2 5 9 9\ncpu0 1 1 1 1\n";
  std::ofstream(root / "proc/meminfo") << "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n";
  const auto ticks = read_cpu_ticks(root.path());
  REQUIRE(ticks);
  CHECK(ticks->total == 100);
  CHECK(ticks->busy == 26);
  const auto memory = read_memory(root.path());
  REQUIRE(memory);
  CHECK(memory->total == 1000 * 1024);
  CHECK(memory->used == 600 * 1024);
  CHECK_FALSE(read_memory(root.path() / "nothing"));
}

TEST_CASE("one field of one GPU that cannot be read costs that field, and a warning its line") {
  const auto gpus = parse_nvidia_usage(
      "WARNING: infoROM is corrupted\n"
      "GPU-1, NVIDIA A100, 87, 1024, 40960, 64\n"
      "GPU-2, NVIDIA A100, [N/A], 1024, 40960, [N/A]\n"
      "GPU-3, NVIDIA A100, 5, [N/A], 40960, 33\n");
  REQUIRE(gpus.size() == 3);
  CHECK(gpus[0].use_percent == 87);
  CHECK(gpus[0].memory->used == std::uint64_t{1} << 30);
  CHECK(gpus[0].temperature == 64);
  CHECK_FALSE(gpus[1].use_percent);
  CHECK(gpus[1].memory);
  CHECK_FALSE(gpus[2].memory);
  CHECK(parse_gaudi_usage("0, HL-225, 3, 768, 98304, 30\n").at(0).id == "0");
}

TEST_CASE("on WSL the GPUs are those of the tool beside the library") {
  const test::TemporaryDirectory root;
  const std::filesystem::path tool = root / "usr/lib/wsl/lib/nvidia-smi";
  std::filesystem::create_directories(tool.parent_path());
  std::filesystem::create_directories(root / "dev/dxg");
  std::ofstream(tool) << "#!/bin/sh\necho 'GPU-aaaa, NVIDIA RTX 4090, 7, 100, 24564, 40'\n";
  std::filesystem::permissions(tool, std::filesystem::perms::owner_all);
  const auto gpus = ask_gpus(root.path());
  REQUIRE(gpus.size() == 1);
  CHECK(gpus[0].id == "GPU-aaaa");
}

TEST_CASE("a task has the figures of its GPUs, and a GPU names its task") {
  const Snapshot snapshot = busy_host();
  CHECK(snapshot.gpus[2].task_id == "task-0-0123456789");
  CHECK(snapshot.gpus[1].task_id.empty());
  CHECK(snapshot.tasks[0].gpu_percent == 10);
  CHECK(snapshot.tasks[0].gpu_memory->used == std::uint64_t{2} << 30);
}

TEST_CASE("tasks are sorted by what is asked for, ended ones last") {
  std::vector<TaskRow> tasks{task("a", "terminated"), task("b", "running"), task("c", "running")};
  tasks[0].cpu_percent = 500;
  tasks[2].cpu_percent = 90;
  sort_tasks(tasks, Order::cpu);
  CHECK(tasks[0].task.name == "c");
  CHECK(tasks[1].task.name == "b");
  CHECK(tasks[2].task.name == "a");
}

TEST_CASE("any size of terminal shows the host, a task and the keys, and no line is wider") {
  const Snapshot snapshot = busy_host();
  for (const auto& [width, height] : {std::pair{40, 10}, std::pair{80, 24}, std::pair{200, 60}, std::pair{20, 5}}) {
    const Terminal terminal{.width = static_cast<std::size_t>(width), .height = static_cast<std::size_t>(height)};
    const auto lines = drawn(snapshot, {}, terminal);
    CHECK(lines[0].starts_with("gpu-host"));
    CHECK(lines.back().starts_with("q quit"));
    for (const auto& line : lines) CHECK(shim::client::columns(line) <= terminal.width);
    if (height >= 10) CHECK(any_contains(lines, "task-0"));
    if (width >= 80) CHECK(any_contains(lines, "34%"));
  }
}

TEST_CASE("the selected task is on the screen however many there are") {
  const auto lines = drawn(busy_host(), {.selected = 29}, {.width = 80, .height = 24});
  CHECK(any_contains(lines, "task-29"));
  CHECK_FALSE(any_contains(lines, "task-2 "));
}

TEST_CASE("a terminal without UTF-8 gets ASCII only") {
  for (const auto& line : drawn(busy_host(), {}, {.width = 80, .height = 24, .utf8 = false})) {
    CHECK(std::ranges::all_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
  }
}

TEST_CASE("a pull is shown with its progress") {
  CHECK(any_contains(drawn(busy_host(), {}, {.width = 200, .height = 60}), "45%"));
  CHECK(status_text(busy_host().tasks[1].task) == "pulling 45% 450B/1.0K");
}

TEST_CASE("what could not be read is null in JSON and a dash in text") {
  Snapshot snapshot;
  snapshot.problem = "the shim does not answer";
  const auto json = as_json(snapshot);
  CHECK(json["cpu_percent"].is_null());
  CHECK(json["memory"].is_null());
  CHECK(json["problem"] == "the shim does not answer");
  CHECK(as_text(snapshot).contains("cpu -"));
}

TEST_CASE("the engine's statistics of a container are read for both versions of cgroups") {
  const auto version2 = nlohmann::json::parse(
      R"({"cpu_stats":{"cpu_usage":{"total_usage":5}},"memory_stats":{"usage":100,"limit":1000,"stats":{"inactive_file":30}}})");
  const auto usage = shim::docker::parse_usage(version2);
  REQUIRE(usage);
  CHECK(usage->cpu_nanoseconds == 5);
  CHECK(usage->memory == 70);
  CHECK(usage->memory_limit == 1000);
  const auto version1 = nlohmann::json::parse(
      R"({"cpu_stats":{"cpu_usage":{"total_usage":5}},"memory_stats":{"usage":100,"stats":{"total_inactive_file":40}}})");
  CHECK(shim::docker::parse_usage(version1)->memory == 60);
  CHECK_FALSE(shim::docker::parse_usage(nlohmann::json::parse(R"({"cpu_stats":{},"memory_stats":{}})")));
}
