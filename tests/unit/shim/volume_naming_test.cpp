#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "common/error.h"
#include "shim/volume/aws_naming.h"
#include "shim/volume/device_naming.h"
#include "tests/support/eager_clock.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tools.h"

using namespace dstack;
using namespace dstack::shim::volume;
using namespace std::chrono_literals;

namespace {

// An m5.large with a root disk of two partitions, one more EBS volume and an instance store.
constexpr const char* kNitro = R"(NAME          SERIAL
nvme0n1       vol0aaaaaaaaaaaaaaaa
├─nvme0n1p1   
├─nvme0n1p14  
└─nvme0n1p15  
nvme1n1       vol0123456789abcdef0
nvme2n1       AWS22CB14C4B5A6C0AE1
)";

VolumeInfo aws_volume() {
  return {.backend = "aws", .name = "data", .volume_id = "vol-0123456789abcdef0", .device_name = "/dev/sdf"};
}

VolumeInfo gcp_volume(std::string device_name = "pd-0") {
  return {.backend = "gcp", .name = "data", .volume_id = "my-disk", .device_name = std::move(device_name)};
}

// What find_device throws.
Error failure(const VolumeInfo& volume, const std::filesystem::path& dev) {
  test::EagerClock clock;
  try {
    const auto device = find_device(volume, dev, {}, clock);
    FAIL("found " << device);
  } catch (const Error& error) {
    return error;
  }
  std::abort();
}

void make_file(const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path).put('x');
}

}  // namespace

TEST_CASE("an EBS volume is the disk whose serial is its id without the dash") {
  CHECK(disk_with_volume(kNitro, "vol-0123456789abcdef0") == "nvme1n1");
  CHECK(disk_with_volume(kNitro, "vol-0aaaaaaaaaaaaaaaa") == "nvme0n1");
  CHECK_FALSE(disk_with_volume(kNitro, "vol-0bbbbbbbbbbbbbbbb"));
}

TEST_CASE("a volume without an id is no disk, not even one without a serial") {
  CHECK_FALSE(disk_with_volume(kNitro, ""));
  CHECK_FALSE(disk_with_volume(kNitro, "-"));
}

TEST_CASE("a serial that only begins like the id is another volume") {
  CHECK_FALSE(disk_with_volume("nvme1n1 vol0123456789abcdef00\n", "vol-0123456789abcdef0"));
  CHECK_FALSE(disk_with_volume("nvme1n1 vol0123\n", "vol-0123456789abcdef0"));
}

TEST_CASE("nonsense instead of a list of disks has no disk in it") {
  CHECK_FALSE(disk_with_volume("", "vol-1"));
  CHECK_FALSE(disk_with_volume("\n\n \n", "vol-1"));
  CHECK_FALSE(disk_with_volume("└─ vol1\n", "vol-1"));
  CHECK_FALSE(disk_with_volume("a b vol1\n", "vol-1"));
  CHECK_FALSE(disk_with_volume(std::string(1'000'000, '\n'), "vol-1"));
}

TEST_CASE("the first partition of a disk is the first name that goes on after the disk's") {
  CHECK(first_partition("nvme1n1\nnvme1n1p1\nnvme1n1p2\n") == "nvme1n1p1");
  CHECK(first_partition("xvdf\nxvdf1\n") == "xvdf1");
  CHECK_FALSE(first_partition("nvme1n1\n"));
  CHECK_FALSE(first_partition(""));
}

TEST_CASE("what is stacked on a disk is not its partition") {
  CHECK_FALSE(first_partition("nvme1n1\nvg0-data\n"));
  CHECK(first_partition("sda\nsda1\nluks-0f\n") == "sda1");
}

TEST_CASE("on Nitro a volume is found by its serial, whatever its device name") {
  test::FakeTools tools;
  tools.add("lsblk", std::string("if [ $# = 2 ]; then cat <<'END'\n") + kNitro + "END\nelse echo nvme1n1; fi");
  test::TemporaryDirectory dev;
  make_file(dev / "sdf");
  test::EagerClock clock;
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "nvme1n1");
  CHECK(tools.last_arguments("lsblk") == "-ln -o NAME " + (dev / "nvme1n1").string());
}

TEST_CASE("of a volume with partitions the first is taken") {
  test::FakeTools tools;
  tools.add("lsblk", std::string("if [ $# = 2 ]; then cat <<'END'\n") + kNitro +
                         "END\nelse printf 'nvme1n1\\nnvme1n1p1\\n'; fi");
  test::TemporaryDirectory dev;
  test::EagerClock clock;
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "nvme1n1p1");
}

TEST_CASE("on Xen a volume has the device name, or that name as /dev/xvd") {
  test::FakeTools tools;
  tools.prints("lsblk", "NAME  SERIAL\nxvda  \nxvdf  \n");
  test::TemporaryDirectory dev;
  test::EagerClock clock;
  make_file(dev / "xvdf");
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "xvdf");
  make_file(dev / "sdf");
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "sdf");
}

TEST_CASE("a device name that another volume has by now is not taken") {
  test::FakeTools tools;
  tools.prints("lsblk", "NAME     SERIAL\nnvme1n1  vol0ffffffffffffffff\n");
  test::TemporaryDirectory dev;
  make_file(dev / "nvme1n1");
  std::filesystem::create_symlink("nvme1n1", dev / "sdf");
  const Error error = failure(aws_volume(), dev.path());
  CHECK(error.kind() == ErrorKind::timed_out);
  CHECK(std::string(error.what()).contains("is vol-0ffffffffffffffff"));
}

TEST_CASE("a volume that the kernel finds late is waited for") {
  test::FakeTools tools;
  tools.add("lsblk", R"(if [ $# != 2 ]; then echo nvme1n1; exit; fi
echo NAME SERIAL
if [ $(wc -l < "$STATE/lsblk.calls") -ge 20 ]; then echo nvme1n1 vol0123456789abcdef0; fi)");
  test::TemporaryDirectory dev;
  test::EagerClock clock;
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "nvme1n1");
  CHECK(tools.calls("lsblk") == 21);
  CHECK(clock.ahead() > 9s);
}

TEST_CASE("a volume that does not come is given up on after 30 s") {
  test::FakeTools tools;
  tools.prints("lsblk", kNitro);
  test::TemporaryDirectory dev;
  VolumeInfo volume = aws_volume();
  volume.volume_id = "vol-0eeeeeeeeeeeeeeee";
  const Error error = failure(volume, dev.path());
  CHECK(error.kind() == ErrorKind::timed_out);
  CHECK(std::string(error.what()).contains("vol-0eeeeeeeeeeeeeeee"));
  CHECK(std::string(error.what()).contains("after 30 s"));
  // The programs' real time counts, too: how many fit into the 30 s depends on the machine.
  CHECK(tools.calls("lsblk") > 5);
}

TEST_CASE("an lsblk that fails with a good list is believed, one without is told of") {
  test::FakeTools tools;
  test::TemporaryDirectory dev;
  test::EagerClock clock;
  tools.add("lsblk", "if [ $# = 2 ]; then echo nvme1n1 vol0123456789abcdef0; exit 1; fi; echo nvme1n1");
  CHECK(find_device(aws_volume(), dev.path(), {}, clock) == dev / "nvme1n1");
  make_file(dev / "sdf");
  tools.add("lsblk", "echo broken >&2; exit 1");
  CHECK(std::string(failure(aws_volume(), dev.path()).what()).contains("lsblk exited with status 1: \"broken\""));
}

TEST_CASE("an lsblk that always hangs is an error, not a wait") {
  test::FakeTools tools;
  tools.add("lsblk", "exec sleep 1000");
  test::TemporaryDirectory dev;
  test::FakeClock clock;
  auto found = std::async(std::launch::async, [&] { return find_device(aws_volume(), dev.path(), {}, clock); });
  // Time stands still while one is killed: otherwise its time to end would be over as well.
  for (const int call : {1, 2, 3}) {
    while (tools.calls("lsblk") < call) std::this_thread::yield();
    clock.await_waiters();
    clock.advance(11s);
    if (call == 3) break;
    clock.await_deadline_within(500ms);
    clock.advance(500ms);
  }
  try {
    found.get();
    FAIL("found a device");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::timed_out);
    CHECK(std::string(error.what()).contains("lsblk gave no answer in time"));
  }
}

TEST_CASE("an lsblk that hangs once is asked again") {
  test::FakeTools tools;
  tools.add("lsblk", R"(if [ $(wc -l < "$STATE/lsblk.calls") = 1 ]; then exec sleep 1000; fi
if [ $# = 2 ]; then echo nvme1n1 vol0123456789abcdef0; else echo nvme1n1; fi)");
  test::TemporaryDirectory dev;
  test::FakeClock clock;
  auto found = std::async(std::launch::async, [&] { return find_device(aws_volume(), dev.path(), {}, clock); });
  // It must have begun, or the next one would be the first.
  while (tools.calls("lsblk") == 0) std::this_thread::yield();
  clock.await_waiters();
  clock.advance(11s);
  clock.await_deadline_within(500ms);
  clock.advance(500ms);
  CHECK(found.get() == dev / "nvme1n1");
}

TEST_CASE("waiting for a volume ends at once when it is cancelled") {
  test::FakeTools tools;
  tools.prints("lsblk", kNitro);
  test::TemporaryDirectory dev;
  test::FakeClock clock;
  std::stop_source stop;
  std::optional<Error> error;
  VolumeInfo volume = aws_volume();
  volume.volume_id = "vol-none";
  std::jthread finder([&] {
    try {
      find_device(volume, dev.path(), stop.get_token(), clock);
    } catch (const Error& caught) {
      error = caught;
    }
  });
  clock.await_deadline_within(500ms);
  stop.request_stop();
  finder.join();
  REQUIRE(error);
  CHECK(error->kind() == ErrorKind::cancelled);
}

TEST_CASE("a disk of Google's is found by its link, its first partition before the whole") {
  test::TemporaryDirectory dev;
  test::EagerClock clock;
  make_file(dev / "sdb");
  make_file(dev / "sdb1");
  std::filesystem::create_directories(dev / "disk/by-id");
  std::filesystem::create_symlink("../../sdb", dev / "disk/by-id/google-pd-0");
  CHECK(find_device(gcp_volume(), dev.path(), {}, clock) == dev / "sdb");
  std::filesystem::create_symlink("../../sdb1", dev / "disk/by-id/google-pd-0-part1");
  CHECK(find_device(gcp_volume(), dev.path(), {}, clock) == dev / "sdb1");
}

TEST_CASE("a link that leads nowhere is no disk") {
  test::TemporaryDirectory dev;
  std::filesystem::create_directories(dev / "disk/by-id");
  std::filesystem::create_symlink("../../sdb", dev / "disk/by-id/google-pd-0");
  const Error error = failure(gcp_volume(), dev.path());
  CHECK(error.kind() == ErrorKind::timed_out);
  CHECK(std::string(error.what()).contains("google-pd-0"));
}

TEST_CASE("a device name of Google's that is a path is refused") {
  test::TemporaryDirectory dev;
  for (const char* name : {"", "../../sda", "a/b"})
    CHECK(failure(gcp_volume(name), dev.path()).kind() == ErrorKind::invalid);
  VolumeInfo volume = gcp_volume();
  volume.device_name.reset();
  CHECK(failure(volume, dev.path()).kind() == ErrorKind::invalid);
}

TEST_CASE("a backend that nobody knows is named") {
  VolumeInfo volume = aws_volume();
  volume.backend = "floppy";
  const Error error = failure(volume, "/dev");
  CHECK(error.kind() == ErrorKind::invalid);
  CHECK(std::string(error.what()).contains("\"floppy\""));
}
