#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <format>
#include <fstream>

#include "common/os/file.h"
#include "shim/metrics/process.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::metrics;

namespace {

double value_of(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  REQUIRE(at != std::string::npos);
  return std::stod(text.substr(at + name.size() + 2));
}

std::string figures(const std::filesystem::path& proc = "/proc") {
  Exposition exposition;
  write_process(exposition, proc);
  return exposition.text();
}

}  // namespace

TEST_CASE("the fields of a process are found behind a name that looks like more of them") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "self/fd");
  for (const char* name : {"0", "1", "2", "3"}) std::ofstream(folder / "self/fd" / name) << "";
  std::ofstream(folder / "stat") << "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n";
  const long ticks = ::sysconf(_SC_CLK_TCK);
  std::ofstream(folder / "self/stat") << std::format(
      "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 {} {} 0 0 20 0 5 0 {} 123456789 1000 18446744073709551615 1 1 0\n",
      3 * ticks, 2 * ticks, 100 * ticks);
  const std::string text = figures(folder.path());
  CHECK(value_of(text, "process_cpu_seconds_total") == 5);
  CHECK(value_of(text, "process_start_time_seconds") == 1700000100);
  CHECK(value_of(text, "process_virtual_memory_bytes") == 123456789);
  CHECK(value_of(text, "process_resident_memory_bytes") == 1000.0 * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  CHECK(value_of(text, "process_open_fds") == 3);  // one of them is the listing itself
}

TEST_CASE("a process tells of itself") {
  const double before = value_of(figures(), "process_open_fds");
  const os::UniqueFd one = os::open_file("/dev/null", O_RDONLY);
  const os::UniqueFd two = os::open_file("/dev/null", O_RDONLY);
  const std::string text = figures();
  CHECK(value_of(text, "process_open_fds") == before + 2);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  CHECK(value_of(text, "process_max_fds") == static_cast<double>(limit.rlim_cur));
  CHECK(value_of(text, "process_resident_memory_bytes") > 0);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  CHECK(value_of(text, "process_start_time_seconds") <= now + 1);
}

TEST_CASE("what cannot be read is left out") {
  const test::TemporaryDirectory folder;
  const std::string text = figures(folder.path());
  CHECK(text.starts_with("# HELP process_max_fds"));
}
