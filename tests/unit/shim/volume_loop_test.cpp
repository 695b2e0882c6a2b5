// Volumes on real loop devices, with the system's own tools. Only what a cloud adds is made up: the serial numbers.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <functional>
#include <thread>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "common/os/mounts.h"
#include "shim/volume/host_volumes.h"
#include "tests/support/eager_clock.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tools.h"
#include "tests/support/loop_device.h"

using namespace dstack;
using namespace dstack::shim::volume;
using namespace std::chrono_literals;
using test::LoopDevice;
using test::run;

namespace {

constexpr const char* kVolumeId = "vol-0123456789abcdef0";

// A host with one disk that has the serial of our volume.
class Host {
 public:
  Host() : volumes_(clock_, folder_.path()) {}
  ~Host() { unmount_all(); }

  void attach(const LoopDevice& disk) {
    tools_.add("lsblk", std::format("if [ $# = 2 ]; then echo NAME SERIAL; echo {} vol0123456789abcdef0\n"
                                    "else exec lsblk \"$@\"; fi",
                                    disk.name()));
  }
  static VolumeInfo volume(bool init_fs = true, std::string name = "data") {
    return {.backend = "aws", .name = std::move(name), .volume_id = kVolumeId, .init_fs = init_fs};
  }

  void mount(const std::string& holder = "task-1", bool init_fs = true) {
    volumes_.mount(holder, {volume(init_fs)}, {});
  }
  void unmount(const std::string& holder = "task-1") { volumes_.unmount(holder, {volume()}, {}); }
  // Why it cannot be mounted.
  std::string refusal(bool init_fs = true) {
    try {
      mount("task-1", init_fs);
      FAIL("mounted");
    } catch (const Error& error) {
      return error.what();
    }
    std::abort();
  }

  std::filesystem::path target() const { return folder_ / "data"; }
  bool is_mounted() const { return !os::mounts_at(target()).empty(); }
  void unmount_all() const {
    while (is_mounted()) os::run_command({.arguments = {"umount", "--lazy", target().string()}});
  }

  test::FakeTools& tools() { return tools_; }
  HostVolumes& volumes() { return volumes_; }
  test::EagerClock& clock() { return clock_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  test::FakeTools tools_;
  test::TemporaryDirectory folder_;
  test::EagerClock clock_;
  HostVolumes volumes_;
};

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// The disk is refused, whatever is asked for, and not one of its bytes is another afterwards.
void check_refused(const LoopDevice& disk, const std::string& expected) {
  const std::uint64_t before = disk.fingerprint();
  Host host;
  host.attach(disk);
  for (const bool init_fs : {true, false}) {
    const std::string reason = host.refusal(init_fs);
    INFO(reason);
    CHECK(reason.contains(expected));
    CHECK_FALSE(host.is_mounted());
  }
  CHECK(disk.fingerprint() == before);
}

}  // namespace

#define NEEDS_LOOP_DEVICES() \
  if (!LoopDevice::available()) SKIP("needs root and loop devices")

TEST_CASE("a blank disk is formatted, mounted and open to all") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  host.mount();
  CHECK(host.is_mounted());
  CHECK(disk.type() == "ext4");
  CHECK(mode_of(host.target()) == 0777);
  CHECK(host.clock().ahead() > 2900ms);  // it was looked at four times
  host.unmount();
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a disk with a file system keeps its data and its mode") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"mkfs.ext4", "-q", "-F", disk.path()});
  Host host;
  host.attach(disk);
  host.mount();
  CHECK(mode_of(host.target()) == 0755);
  std::ofstream(host.target() / "kept") << "data";
  host.unmount();
  CHECK(host.clock().ahead() < 1s);
  host.mount("task-2", false);
  CHECK(os::read_file(host.target() / "kept") == "data");
  host.unmount("task-2");
}

TEST_CASE("a blank disk that is not to be formatted stays blank") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  const std::uint64_t before = disk.fingerprint();
  Host host;
  host.attach(disk);
  CHECK(host.refusal(false).contains("has no file system"));
  CHECK(disk.fingerprint() == before);
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a partition of a disk with partitions is what is mounted") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"mkfs.ext4", "-q", "-F", disk.path()});
  Host host;
  // A partition has the disk's name and a number; loop9 stands for it here, so its disk must be "loop".
  host.tools().add(
      "lsblk",
      std::format("if [ $# = 2 ]; then echo loop vol0123456789abcdef0; else printf 'loop\\n{}\\n'; fi", disk.name()));
  host.mount();
  CHECK(os::mounts_at(host.target()).at(0).source == disk.path());
}

TEST_CASE("swap is refused") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"mkswap", disk.path()});
  check_refused(disk, "\"swap\", which is not a file system");
}

TEST_CASE("a member of a volume group is refused") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"pvcreate", "-qq", "--yes", disk.path()});
  check_refused(disk, "\"LVM2_member\"");
}

TEST_CASE("an encrypted disk is refused") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  test::TemporaryDirectory folder;
  std::ofstream(folder / "key") << "secret";
  run({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file",
       (folder / "key").string(), disk.path()});
  check_refused(disk, "\"crypto_LUKS\"");
}

TEST_CASE("partition tables without partitions are refused") {
  NEEDS_LOOP_DEVICES();
  for (const char* label : {"label: gpt\n", "label: dos\n"}) {
    LoopDevice disk;
    os::run_command({.arguments = {"sfdisk", "--quiet", disk.path()}, .input = label});
    check_refused(disk, "not a file system, such as a partition table");
  }
}

TEST_CASE("a member of a ZFS pool is refused") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  // Uberblocks of the first and second label, which is what blkid counts: 1 KiB each, beginning at 128 KiB.
  for (const std::uint64_t label : {std::uint64_t{0}, std::uint64_t{256 << 10}}) {
    for (std::uint64_t i = 0; i < 8; ++i) {
      disk.write(label + (128 << 10) + i * 1024, std::string_view("\x0c\xb1\xba\0\0\0\0\0\x88\x13\0\0\0\0\0\0", 16));
    }
  }
  REQUIRE(disk.type() == "zfs_member");
  check_refused(disk, "\"zfs_member\"");
}

TEST_CASE("a member of a RAID is refused") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  std::string superblock(256, '\0');
  superblock.replace(0, 8, std::string_view("\xfc\x4e\x2b\xa9\1\0\0\0", 8));
  superblock[128] = 8;  // super_offset: sector 8
  superblock[144] = 8;
  disk.write(4096, superblock);
  if (disk.type() != "linux_raid_member") SKIP("this blkid wants more of a superblock");
  check_refused(disk, "\"linux_raid_member\"");
}

TEST_CASE("foreign file systems are mounted as they are, never made anew") {
  NEEDS_LOOP_DEVICES();
  struct Kind {
    const char* name;
    std::vector<std::string> command;
  };
  for (const auto& [name, command] : {Kind{"xfs", {"mkfs.xfs", "-q"}}, Kind{"btrfs", {"mkfs.btrfs", "-q"}}}) {
    LoopDevice disk(std::uint64_t{512} << 20);
    auto arguments = command;
    arguments.push_back(disk.path());
    run(arguments);
    Host host;
    host.attach(disk);
    try {
      host.mount();
      std::ofstream(host.target() / "kept") << "data";
      host.unmount();
      host.mount("task-2");
      CHECK(os::read_file(host.target() / "kept") == "data");
      host.unmount("task-2");
    } catch (const Error& error) {
      WARN(name << " is not known to this kernel: " << error.what());
    }
    CHECK(disk.type() == name);
    CHECK_FALSE(host.is_mounted());
  }
}

TEST_CASE("data without any signature is not formatted over, at either end of the disk") {
  NEEDS_LOOP_DEVICES();
  constexpr std::uint64_t size = std::uint64_t{64} << 20;
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{65535}, size - 65536, size - 1}) {
    LoopDevice disk(size);
    disk.write(offset, "x");
    const std::uint64_t before = disk.fingerprint();
    Host host;
    host.attach(disk);
    CHECK(host.refusal(true).contains("it holds data"));
    CHECK(disk.fingerprint() == before);
  }
}

TEST_CASE("a file system that appears at the last look is not formatted over") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"mkfs.ext4", "-q", "-F", disk.path()});
  Host host;
  host.attach(disk);
  host.tools().add("blkid", "if [ $(wc -l < \"$STATE/blkid.calls\") -lt 4 ]; then exit 2; fi\nexec blkid \"$@\"");
  host.tools().add("mkfs.ext4", "exit 1");
  host.mount();
  CHECK(host.tools().calls("blkid") == 4);
  CHECK(host.tools().calls("mkfs.ext4") == 0);
  CHECK(mode_of(host.target()) == 0755);
}

TEST_CASE("a probe that finds nothing on a disk with a file system does not lead to a format") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  run({"mkfs.ext4", "-q", "-F", disk.path()});
  const std::uint64_t before = disk.fingerprint();
  Host host;
  host.attach(disk);
  host.tools().add("blkid", "exit 2");
  CHECK(host.refusal().contains("it holds data"));
  CHECK(disk.fingerprint() == before);
}

TEST_CASE("whatever goes wrong with the probe, nothing is formatted") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  const std::uint64_t before = disk.fingerprint();
  Host host;
  host.attach(disk);
  for (const char* script : {"exit 0", "exit 1", "exit 4", "exit 8", "echo gone >&2; exit 2", "kill -9 $$",
                             "echo; exit 0", "i=0; while [ $i -lt 100000 ]; do echo; i=$((i+1)); done"}) {
    INFO(script);
    host.tools().add("blkid", script);
    CHECK_FALSE(host.refusal().empty());
    CHECK(disk.fingerprint() == before);
  }
}

TEST_CASE("a disk that vanishes between the probe and the format is not formatted") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  LoopDevice other;
  test::TemporaryDirectory dev;
  // Names in /dev that change hands, as they do when one disk is pulled and another comes.
  std::filesystem::create_symlink(disk.path(), dev / "nvme1n1");
  test::FakeTools tools;
  tools.add("lsblk", "if [ $# = 2 ]; then echo nvme1n1 vol0123456789abcdef0; else echo nvme1n1; fi");
  test::TemporaryDirectory folder;
  test::EagerClock clock;
  HostVolumes volumes(clock, folder.path(), dev.path());
  const std::uint64_t before = other.fingerprint();

  const auto swap = std::format("ln -sfn {} {}", other.path(), (dev / "nvme1n1").string());
  const auto vanish = std::format("rm -f {}", (dev / "nvme1n1").string());
  for (const std::string& change : {swap, vanish}) {
    tools.add("blkid",
              std::format("if [ $(($(wc -l < \"$STATE/blkid.calls\") % 4)) = 0 ]; then {}; fi; exit 2", change));
    CHECK_THROWS_AS(volumes.mount("task-1", {Host::volume()}, {}), Error);
    CHECK(other.fingerprint() == before);
    CHECK(disk.type().empty());
    std::filesystem::remove(dev / "nvme1n1");
    std::filesystem::create_symlink(disk.path(), dev / "nvme1n1");
  }
}

TEST_CASE("a disk that is pulled out after the last probe is an error") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  // Truncating the file behind it and telling the kernel takes the disk's surface away.
  host.tools().add(
      "blkid",
      std::format("if [ $(wc -l < \"$STATE/blkid.calls\") = 4 ]; then truncate -s 0 {}; losetup -c {}; fi; exit 2",
                  disk.image().string(), disk.path()));
  host.tools().add("mkfs.ext4", "exit 0");
  CHECK_FALSE(host.refusal().empty());
  CHECK(host.tools().calls("mkfs.ext4") == 0);
}

TEST_CASE("a format that fails is told with its reason") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  host.tools().add("mkfs.ext4", "echo 'no space' >&2; exit 1");
  CHECK(host.refusal().contains("mkfs.ext4 exited with status 1: \"no space\""));
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a format that was killed halfway is begun anew") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  // The ends of the disk, with the superblock, are what mkfs.ext4 writes last.
  host.tools().add("mkfs.ext4",
                   "dd if=/dev/urandom of=\"$2\" bs=64k seek=16 count=4 conv=notrunc,fsync 2>/dev/null; kill -9 $$");
  CHECK(host.refusal().contains("killed by signal 9"));
  CHECK(disk.type().empty());
  host.tools().add("mkfs.ext4", "exec mkfs.ext4 \"$@\"");
  host.mount();
  CHECK((disk.type() == "ext4"));
}

TEST_CASE("two tasks share a volume: mounted once, unmounted with the last") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  host.mount("task-1");
  host.mount("task-2");
  CHECK(os::mounts_at(host.target()).size() == 1);
  host.unmount("task-1");
  CHECK(host.is_mounted());
  host.unmount("task-1");  // once more, as a journal that is replayed does
  CHECK(host.is_mounted());
  host.unmount("task-2");
  CHECK_FALSE(host.is_mounted());
  host.unmount("task-2");
}

TEST_CASE("tasks that want a volume at the same time get it once") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  {
    std::vector<std::jthread> tasks;
    for (int i = 0; i < 8; ++i) tasks.emplace_back([&host, i] { host.mount("task-" + std::to_string(i)); });
  }
  CHECK(os::mounts_at(host.target()).size() == 1);
  for (int i = 0; i < 8; ++i) {
    CHECK(host.is_mounted());
    host.unmount("task-" + std::to_string(i));
  }
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("another device under the same name is refused and the first stays mounted") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  LoopDevice other;
  Host host;
  host.attach(disk);
  host.mount("task-1");
  host.attach(other);
  const std::uint64_t before = other.fingerprint();
  CHECK_THROWS_AS(host.mount("task-2"), Error);
  CHECK(other.fingerprint() == before);
  CHECK(os::mounts_at(host.target()).at(0).source == disk.path());
  // What the second task gives back at its end is not the first one's.
  host.unmount("task-2");
  CHECK(host.is_mounted());
  host.unmount("task-1");
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("holders are known again after a restart") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  host.mount("task-1");
  host.mount("task-2");

  HostVolumes next(host.clock(), host.folder());
  next.restore("task-1", {Host::volume()});
  next.restore("task-2", {Host::volume()});
  next.unmount("task-2", {Host::volume()}, {});
  CHECK(host.is_mounted());
  next.mount("task-3", {Host::volume()}, {});
  next.unmount("task-1", {Host::volume()}, {});
  CHECK(host.is_mounted());
  next.unmount("task-3", {Host::volume()}, {});
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a task that was cut off before its mount has nothing to unmount") {
  NEEDS_LOOP_DEVICES();
  Host host;
  host.volumes().restore("task-1", {Host::volume()});
  host.unmount("task-1");
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a volume in use is not unmounted by force, and is unmounted when it is free") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  host.mount();
  {
    const std::ofstream open_file(host.target() / "open");
    try {
      host.unmount();
      FAIL("unmounted");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).contains("busy"));
    }
    CHECK(host.is_mounted());
  }
  host.unmount();
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("of several volumes all others are unmounted when one is in use") {
  NEEDS_LOOP_DEVICES();
  LoopDevice first;
  LoopDevice second;
  Host host;
  host.tools().add("lsblk", std::format("if [ $# = 2 ]; then echo {} vol1; echo {} vol2; else exec lsblk \"$@\"; fi",
                                        first.name(), second.name()));
  const std::vector<VolumeInfo> volumes{{.backend = "aws", .name = "one", .volume_id = "vol-1", .init_fs = true},
                                        {.backend = "aws", .name = "two", .volume_id = "vol-2", .init_fs = true}};
  host.volumes().mount("task-1", volumes, {});
  {
    const std::ofstream open_file(host.folder() / "two" / "open");
    CHECK_THROWS_AS(host.volumes().unmount("task-1", volumes, {}), Error);
    CHECK(os::mounts_at(host.folder() / "one").empty());
    CHECK_FALSE(os::mounts_at(host.folder() / "two").empty());
  }
  host.volumes().unmount("task-1", volumes, {});
  CHECK(os::mounts_at(host.folder() / "two").empty());
}

TEST_CASE("a mount that fails leaves nothing mounted") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  // It mounts, and says that it did not.
  host.tools().add("mount", "mount \"$@\"; echo 'some trouble' >&2; exit 32");
  CHECK(host.refusal().contains("mount exited with status 32: \"some trouble\""));
  CHECK_FALSE(host.is_mounted());
}

TEST_CASE("a volume's name is one folder, or nothing happens") {
  test::EagerClock clock;
  test::TemporaryDirectory folder;
  HostVolumes volumes(clock, folder.path());
  for (const char* name : {"", ".", "..", "a/b", "../etc", "/etc"}) {
    INFO(name);
    CHECK_THROWS_AS(volumes.mount("task-1", {Host::volume(true, name)}, {}), Error);
    volumes.restore("task-1", {Host::volume(true, name)});
    CHECK_NOTHROW(volumes.unmount("task-1", {Host::volume(true, name)}, {}));
  }
}

TEST_CASE("a path that is no block device is waited for and refused") {
  test::FakeTools tools;
  test::TemporaryDirectory dev;
  test::TemporaryDirectory folder;
  std::ofstream(dev / "nvme1n1") << "a file";
  tools.add("lsblk", "if [ $# = 2 ]; then echo nvme1n1 vol0123456789abcdef0; else echo nvme1n1; fi");
  test::EagerClock clock;
  HostVolumes volumes(clock, folder.path(), dev.path());
  try {
    volumes.mount("task-1", {Host::volume()}, {});
    FAIL("mounted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::timed_out);
    CHECK(std::string(error.what()).contains("not a block device"));
  }
  CHECK(clock.ahead() > 9s);
}

TEST_CASE("a disk without a size is waited for until it has one") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk(0);
  test::FakeTools tools;
  test::TemporaryDirectory folder;
  tools.add("lsblk", std::format("if [ $# = 2 ]; then echo {0} vol0123456789abcdef0; else echo {0}; fi", disk.name()));
  // The disk gets its size during the third wait.
  class : public test::EagerClock {
   public:
    bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, os::SteadyTime deadline,
                    const std::function<bool()>& done) override {
      if (++waits == 3) on_third();
      return EagerClock::wait_until(lock, changed, deadline, done);
    }
    int waits = 0;
    std::function<void()> on_third;
  } clock;
  clock.on_third = [&disk] {
    std::filesystem::resize_file(disk.image(), 64 << 20);
    run({"losetup", "-c", disk.path()});
  };
  HostVolumes volumes(clock, folder.path());
  try {
    volumes.mount("task-1", {Host::volume(false)}, {});
    FAIL("mounted");
  } catch (const Error& error) {
    // It is blank and not to be formatted, so it comes as far as that.
    CHECK(std::string(error.what()).contains("has no file system"));
  }
  CHECK(clock.waits == 6);
}

TEST_CASE("waiting for a volume in somebody else's hands ends when it is cancelled") {
  NEEDS_LOOP_DEVICES();
  LoopDevice disk;
  Host host;
  host.attach(disk);
  run({"mkfifo", (host.tools().state() / "gate").string()});
  host.tools().add("mkfs.ext4", "cat \"$STATE/gate\" >/dev/null; exec mkfs.ext4 \"$@\"");
  std::jthread first([&] { host.mount("task-1"); });
  os::UniqueFd gate = os::open_file(host.tools().state() / "gate", O_WRONLY);  // when mkfs.ext4 has begun
  std::stop_source stop;
  stop.request_stop();
  try {
    host.volumes().mount("task-2", {Host::volume()}, stop.get_token());
    FAIL("mounted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::cancelled);
  }
  gate.reset();
  first.join();
  CHECK(host.is_mounted());
  host.unmount("task-1");
  CHECK_FALSE(host.is_mounted());
}
