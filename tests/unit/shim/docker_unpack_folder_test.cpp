#include "shim/docker/unpack_folder.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::docker;

namespace {

struct Fixture {
  test::TemporaryDirectory root;
  EngineInfo info{.root_directory = "/var/lib/docker"};

  void folder(const std::string& path) const { std::filesystem::create_directories(root / path); }
  std::string found() const { return unpack_folder(info, root.path()).string(); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "with the engine's own store images are unpacked in its folder") {
  folder("var/lib/containerd");
  CHECK(found() == "/var/lib/docker");
}

TEST_CASE_METHOD(Fixture, "with containerd's store images are unpacked in containerd's folder") {
  info.containerd_images = true;
  info.containerd_address = "/run/containerd/containerd.sock";
  CHECK(found() == "/var/lib/docker");
  folder("var/lib/containerd");
  CHECK(found() == "/var/lib/containerd");
  folder("etc/containerd");
  folder("big/images");
  std::ofstream(root / "etc/containerd/config.toml")
      << "version = 2\n#root = \"/no\"\nroot = '/big/images'  # a disk\n[plugins]\nroot = \"/other\"\n";
  CHECK(found() == "/big/images");
}

TEST_CASE_METHOD(Fixture, "a containerd that dockerd starts has its folder in dockerd's") {
  info.containerd_images = true;
  info.containerd_address = "/var/run/docker/containerd/containerd.sock";
  folder("var/lib/containerd");
  CHECK(found() == "/var/lib/docker/containerd/daemon");
  // An engine that does not say.
  info.containerd_address.clear();
  CHECK(found() == "/var/lib/containerd");
  folder("var/lib/docker/containerd/daemon");
  CHECK(found() == "/var/lib/docker/containerd/daemon");
}
