#include "shim/client/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <format>
#include <functional>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/client.h"
#include "common/json/dump.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/version.h"
#include "shim/client/age.h"
#include "shim/client/scrub.h"
#include "shim/client/shim_api.h"
#include "shim/client/tar_text.h"
#include "shim/client/task_table.h"
#include "shim/doctor/report.h"

namespace dstack::shim::client {

namespace {

using nlohmann::json;

constexpr off_t kShimLogEnd = off_t{1} << 20;     // bytes
constexpr off_t kRunnerLogEnd = off_t{64} << 10;  // of each
constexpr std::chrono::seconds kAnswerLimit{5};

// The end of a plain file, whatever else a container has put there.
std::string end_of_file(const std::filesystem::path& path, off_t limit) {
  const os::UniqueFd file = os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat entry{};
  if (::fstat(file.get(), &entry) != 0) throw os_error("look at", path.string());
  if (!S_ISREG(entry.st_mode)) throw Error(ErrorKind::invalid, path.string() + " is not a file");
  const off_t begin = std::max<off_t>(0, entry.st_size - limit);
  std::string text(static_cast<std::size_t>(entry.st_size - begin), '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), begin);
  if (count < 0) throw os_error("read", path.string());
  text.resize(static_cast<std::size_t>(count));
  return text;
}

json versions(const doctor::Host& host) {
  utsname kernel{};
  ::uname(&kernel);
  json engine;
  if (host.engine) {
    const docker::EngineInfo info = host.engine->info({.limit = kAnswerLimit});
    engine = {{"version", info.version},
              {"api_version", info.api_version},
              {"podman", info.podman},
              {"cgroup_version", info.cgroup_version},
              {"runtimes", info.runtimes},
              {"security_options", info.security_options},
              {"live_restore", info.keeps_containers}};
  }
  return {{"dstack-shim", version()},
          {"kernel", std::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine)},
          {"os_release", os::try_read_file(host.root / "etc/os-release").value_or("")},
          {"engine", std::move(engine)}};
}

std::string ask(const doctor::Host& host, const char* path) {
  http::Client client({.base_url = std::format("http://127.0.0.1:{}", host.shim_port)}, *host.clock);
  const http::ClientResponse answer = client.send({.path = path, .total_limit = kAnswerLimit});
  if (answer.status == 200) return answer.body;
  throw Error(ErrorKind::unavailable, std::format("{} answered {}", path, answer.status));
}

// What a message says after its first line is output.
std::string tasks(const doctor::Host& host) {
  std::vector<TaskEntry> all = ShimApi(host.shim_port, *host.clock).tasks();
  for (TaskEntry& task : all)
    task.termination_message = task.termination_message.substr(0, task.termination_message.find('\n'));
  return dstack::json::dump(task_list(std::move(all), *host.clock), 2) + "\n";
}

// Files of the archive, each for itself: one that cannot be had costs no other.
class Bundle {
 public:
  explicit Bundle(const os::Clock& clock) : time_(os::unix_seconds(clock.wall())) {}

  void add(const std::string& name, const std::function<std::string()>& make) {
    try {
      tar_.add("dstack-bundle/" + name, scrub(make()), time_);
    } catch (const std::exception& error) {
      missing_ += std::format("{}: {}\n", name, scrub(error.what()));
    }
  }

  std::string finish() && {
    if (!missing_.empty()) tar_.add("dstack-bundle/missing.txt", missing_, time_);
    return std::move(tar_).finish();
  }

 private:
  const std::int64_t time_;
  TarText tar_;
  std::string missing_;
};

void add_runner_logs(Bundle& bundle, const std::filesystem::path& home) {
  std::vector<std::string> names;
  bundle.add("runner-logs.txt", [&] {
    std::string list;
    names = os::list_directory(home / "runners").names;
    for (const std::string& name : names) list += name + "\n";
    return list;
  });
  for (const std::string& name : names) {
    // The runner's own log; what its job has written is in another file, which stays out.
    bundle.add(std::format("runners/{}.log", name.substr(0, 60)),
               [&] { return end_of_file(home / "runners" / name / "default.log", kRunnerLogEnd); });
  }
}

}  // namespace

void write_bundle(const std::filesystem::path& file, const doctor::Host& host, const doctor::Examination& examination) {
  Bundle bundle(*host.clock);
  bundle.add("versions.json", [&] { return dstack::json::dump(versions(host), 2) + "\n"; });
  bundle.add("doctor.txt", [&] { return doctor::as_text(examination, false); });
  bundle.add("doctor.json", [&] { return doctor::as_json(examination); });
  bundle.add("settings.json", [&] { return ask(host, "/local/settings"); });
  bundle.add("instance.json", [&] { return ask(host, "/api/instance/info"); });
  bundle.add("metrics.txt", [&] { return ask(host, "/metrics"); });
  bundle.add("tasks.json", [&] { return tasks(host); });
  bundle.add("shim.log", [&] { return end_of_file(host.home / "shim.log", kShimLogEnd); });
  add_runner_logs(bundle, host.home);
  os::replace_file(file, std::move(bundle).finish(), 0600);
}

}  // namespace dstack::shim::client
