#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/engine_client.h"
#include "shim/gpu/remarks.h"

namespace dstack::shim::doctor {

// A warning: it works, but not all of it, or not for long. Broken: tasks will fail.
enum class Verdict { ok, warning, broken };

std::string_view name_of(Verdict verdict);

struct Finding {
  Verdict verdict = Verdict::ok;
  std::string found;   // one line: what was seen
  std::string remedy;  // how to fix it; empty where there is nothing to fix

  friend bool operator==(const Finding&, const Finding&) = default;
};

Finding ok(std::string found);
Finding warning(std::string found, std::string remedy);
Finding broken(std::string found, std::string remedy);

// A foreign name on its way into a finding: as it is if it is a plain word or path, else quoted.
std::string readable(std::string_view name);

// What the checks look at. Shared between their threads; nobody changes it.
struct Host {
  std::filesystem::path root = "/";  // where /dev, /proc and /sys are
  std::filesystem::path home;        // the shim's
  std::filesystem::path runner_binary;
  int shim_port = 10998;
  int runner_http_port = 10999;
  int runner_ssh_port = 10022;
  bool allow_task_callers = false;
  std::shared_ptr<docker::EngineClient> engine;                // null if its address makes no sense
  std::string engine_trouble;                                  // then: why
  std::optional<std::string> drained;                          // that shim takes no new tasks: why, which may be empty
  std::vector<std::pair<std::string, std::string>> sick_gpus;  // that shim has set aside, and why
  std::vector<std::string> hot_gpus;                           // it says, are slowed down by heat
  std::vector<shim::gpu::OutsideProcess> outside_gpu_processes;
  std::optional<int> shim_pid;  // of the shim that runs on `shim_port`, if it says so
  os::Clock* clock = &os::system_clock();
};

// One thing that is looked at. `look` changes nothing on the host, and blocks as long as it must: whoever runs it has a
// deadline. An exception is a finding, too.
struct Check {
  std::string name;
  std::function<Finding(const Host&)> look;
};

// In the order in which a person reads them: what the rest depends on comes first.
std::vector<Check> all_checks();

}  // namespace dstack::shim::doctor
