#pragma once

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "shim/doctor/check.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::doctor {

// A host in a folder, with an engine that is not one.
struct DoctorFixture {
  test::FakeEngine engine;
  test::TemporaryDirectory folder;
  Host host{.root = folder / "root",
            .home = folder / "home",
            .runner_binary = folder / "dstack-runner",
            .engine = std::make_shared<docker::EngineClient>(docker::engine_at_socket(engine.socket_path()))};

  // Below the host's root, with the folders it lies in.
  void put(const std::string& path, const std::string& content = "") const { write(host.root / path, content); }
  static void write(const std::filesystem::path& path, const std::string& content) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
};

}  // namespace dstack::shim::doctor
