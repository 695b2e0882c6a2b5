#include "shim/ci/own_shim.h"

#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <format>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "shim/ci/agent_environment.h"
#include "shim/ci/end_tasks.h"
#include "shim/ci/own_program.h"
#include "shim/docker/engine_address.h"
#include "shim/docker/engine_client.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): musl declares it only for GNU

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kShimAnswer = 3s;
constexpr std::chrono::milliseconds kStartPause = 100ms;
constexpr std::chrono::minutes kShimStartLimit = 5min;  // its GPU tools may hang for two
constexpr std::chrono::seconds kOwnTasksLimit = 60s;
constexpr std::chrono::seconds kShimStopLimit = 10s;

int free_port() {
  const os::UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (!probe || ::bind(probe.get(), generic, size) != 0 || ::getsockname(probe.get(), generic, &size) != 0)
    throw os_error("find a free port on", "127.0.0.1");
  return ntohs(address.sin_port);
}

// The runner's file: the variable's, beside this program, its usual place.
std::filesystem::path runner_binary() {
  const char* named = std::getenv("DSTACK_RUNNER_BINARY_PATH");
  if (named != nullptr && *named != '\0') return named;
  const std::filesystem::path program = own_program();
  std::error_code failure;
  // As it is called in a folder of downloads, too: dstack-shim-linux-amd64.
  std::string name = program.filename().string();
  if (const std::size_t at = name.find("dstack-shim"); at != std::string::npos) name.replace(at, 11, "dstack-runner");
  for (const std::filesystem::path& beside : {program.parent_path() / "dstack-runner", program.parent_path() / name}) {
    if (beside != program && std::filesystem::is_regular_file(beside, failure)) return beside;
  }
  return "/usr/local/bin/dstack-runner";
}

}  // namespace

bool shim_answers(int port) {
  try {
    http::Client client({.base_url = std::format("http://127.0.0.1:{}", port)});
    return client.send({.path = "/api/healthcheck", .total_limit = kShimAnswer}).status == 200;
  } catch (const std::exception&) {
    return false;
  }
}

bool docker_answers() {
  try {
    docker::EngineClient engine(docker::engine_address());
    engine.connect();
    return true;
  } catch (const std::exception& error) {
    spdlog::debug("Docker: {}", error.what());
    return false;
  }
}

// What the program's thread and this one know of it.
class OwnShim::Shared {
 public:
  explicit Shared(std::function<void(const std::string&)> ended) : take_end_(std::move(ended)) {}

  void line(const std::string& text) {
    const os::Lock lock(mutex_);
    if (!text.empty()) last_line_ = text;
  }
  void end(const os::ExitStatus& status) {
    std::function<void(const std::string&)> take;
    {
      const os::Lock lock(mutex_);
      end_ = status.describe();
      if (serves_ && !stopping_) take = take_end_;
      changed_.notify_all();
    }
    if (take) take(describe());
  }

  bool has_ended() {
    const os::Lock lock(mutex_);
    return end_.has_value();
  }
  std::string describe() {
    const os::Lock lock(mutex_);
    return std::format("{}{}{}", end_.value_or("does not answer"), last_line_.empty() ? "" : ": ", last_line_);
  }
  void serving() {
    const os::Lock lock(mutex_);
    serves_ = true;
  }
  void stopping() {
    const os::Lock lock(mutex_);
    stopping_ = true;
  }
  bool await_end(std::chrono::seconds limit) {
    os::Clock& clock = os::system_clock();
    os::Lock lock(mutex_);
    return clock.wait_until(lock.native(), changed_, clock.now() + limit,
                            [this]() DSTACK_REQUIRES(mutex_) { return end_.has_value(); });
  }

 private:
  const std::function<void(const std::string&)> take_end_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  std::string last_line_ DSTACK_GUARDED_BY(mutex_);
  std::optional<std::string> end_ DSTACK_GUARDED_BY(mutex_);
  bool serves_ DSTACK_GUARDED_BY(mutex_) = false;
  bool stopping_ DSTACK_GUARDED_BY(mutex_) = false;
};

OwnShim::OwnShim(const std::filesystem::path& home, std::function<void(const std::string&)> ended,
                 const std::stop_token& stop)
    : port_(free_port()), shared_(std::make_shared<Shared>(std::move(ended))) {
  os::make_directories(home, 0700);
  const KeptProgramSpec spec{.arguments = {own_program(), "--shim-home", home, "--shim-http-port",
                                           std::to_string(port_), "--runner-binary-path", runner_binary()},
                             .environment = shim_environment(environ),
                             .shim_port = port_};
  program_ = std::make_unique<KeptProgram>(
      spec, [shared = shared_](const std::string& line) { shared->line(line); },
      [shared = shared_](const os::ExitStatus& status) { shared->end(status); });
  await(stop);
  shared_->serving();
}

OwnShim::~OwnShim() = default;

bool OwnShim::runs() const { return !shared_->has_ended(); }

void OwnShim::await(const std::stop_token& stop) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime end = clock.now() + kShimStartLimit;
  while (!shim_answers(port_)) {
    if (shared_->has_ended() || clock.now() >= end)
      throw Error(ErrorKind::unavailable,
                  std::format("start a dstack-shim for this runner: it {}", shared_->describe()));
    if (!os::pause(clock, kStartPause, stop))
      throw Error(ErrorKind::cancelled, "start a dstack-shim for this runner: cancelled");
  }
}

bool OwnShim::stop(std::string& problem) {
  shared_->stopping();
  if (shared_->has_ended()) return true;
  const bool all = end_tasks(port_, kOwnTasksLimit, problem);
  program_->signal(SIGTERM);
  if (!shared_->await_end(kShimStopLimit)) program_->kill();
  return all;
}

}  // namespace dstack::shim::ci
