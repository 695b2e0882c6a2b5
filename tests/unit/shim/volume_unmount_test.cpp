#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <sstream>

#include "shim/volume/host_volumes.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::volume;

TEST_CASE("of a volume that was never mounted the log does not say that it is unmounted") {
  const test::TemporaryDirectory folder;
  std::ostringstream lines;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines)));
  HostVolumes volumes(os::system_clock(), folder / "volumes", folder / "dev");
  const std::vector<VolumeInfo> held{{.backend = "aws", .name = "data", .volume_id = "vol-1"}};
  volumes.restore("task", held);
  volumes.unmount("task", held, {});
  spdlog::set_default_logger(before);
  CHECK_FALSE(lines.str().contains("unmounted"));
}
