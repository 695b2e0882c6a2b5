#include "runner/ssh/server.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <format>
#include <future>
#include <span>
#include <utility>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "runner/ssh/announcement.h"
#include "runner/ssh/listener.h"
#include "runner/ssh/programs.h"

namespace dstack::runner::ssh {

namespace {

using namespace std::chrono_literals;

constexpr auto kStartLimit = 20s;                     // for an overloaded machine
constexpr std::chrono::nanoseconds kFirstPause = 1s;  // before it is started again; doubled each time
constexpr std::chrono::nanoseconds kLongestPause = 60s;

// Until one of them is readable.
void wait_for(std::span<pollfd> waiting) {
  while (::poll(waiting.data(), waiting.size(), -1) < 0) {
    if (errno != EINTR) throw os_error("wait for", "the SSH server");
  }
}

}  // namespace

Server::Server(Settings settings, os::Clock& clock)
    : settings_(std::move(settings)), clock_(clock), timer_(clock.make_timer()), thread_([this] { run(); }) {}

Server::~Server() {
  stop_.set();
  thread_.join();
}

bool Server::wait_ready() {
  os::Lock lock(mutex_);
  changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return stage_ != Stage::starting; });
  return stage_ == Stage::answering;
}

std::optional<std::string> Server::problem() const {
  const os::Lock lock(mutex_);
  return problem_;
}

void Server::set(Stage stage, std::optional<std::string> problem) {
  if (problem) spdlog::error("{}", *problem);
  const os::Lock lock(mutex_);
  stage_ = stage;
  problem_ = std::move(problem);
  changed_.notify_all();
}

Server::Stage Server::stage() const {
  const os::Lock lock(mutex_);
  return stage_;
}

void Server::run() {
  try {
    prepare();
    serve();
  } catch (const std::exception& error) {
    set(Stage::failed, std::format("The SSH server cannot be started: {}", error.what()));
  }
}

void Server::prepare() {
  const ServerPlaces& places = settings_.places;
  unpack_programs(places.programs());
  for (const auto& folder : {places.config().parent_path(), places.empty(), places.log().parent_path()}) {
    os::make_directories(folder, 0755);
  }
  // No RSA key: making one takes a second, and every client since 2014 knows these. Side by side, as the API waits.
  // Without a thread to spare, one after the other.
  auto other = std::async([this] { make_host_key("ecdsa"); });
  make_host_key("ed25519");
  other.get();
  const std::string level = checked_log_level(settings_.log_level);
  os::replace_file(places.config(),
                   settings_.host ? host_server_config(places, settings_.port, level, *settings_.host)
                                  : server_config(places, settings_.port, level),
                   0644);
  if (settings_.forwarded_sockets.empty()) return;
  try {
    os::make_directories(settings_.forwarded_sockets, 0755);
  } catch (const std::exception& error) {
    spdlog::warn("Sockets cannot be forwarded to {}: {}", settings_.forwarded_sockets.string(), error.what());
  }
}

void Server::make_host_key(const std::string& type) {
  std::error_code failure;
  if (std::filesystem::exists(settings_.places.host_key(type), failure)) return;  // a host keeps its own
  const std::filesystem::path program = settings_.places.programs() / "ssh-keygen";
  const auto result = os::run_command(
      {.arguments = {program, "-q", "-t", type, "-N", "", "-C", "", "-f", settings_.places.host_key(type)}});
  if (!result.succeeded()) {
    throw Error(ErrorKind::internal, std::format("make a host key: ssh-keygen {}", result.describe()));
  }
}

void Server::serve() {
  std::chrono::nanoseconds pause = kFirstPause;
  while (true) {
    const os::SteadyTime started = clock_.now();
    std::optional<std::string> end;
    bool may_pass = stage() == Stage::answering;
    try {
      end = run_listener();
      // One that has started and never answered would not do so the next time.
      may_pass = stage() == Stage::answering;
    } catch (const std::exception& error) {
      end = std::format("could not be started: {}", error.what());
      // No process, thread, descriptor or memory to be had.
      may_pass = may_pass || error_kind(error) == ErrorKind::exhausted;
    }
    if (!end) return;
    const bool worth_another = may_pass;
    set(stage() == Stage::answering ? Stage::answering : Stage::failed, std::format("The SSH server {}", *end));
    if (!worth_another) return;
    if (clock_.now() - started > kLongestPause) pause = kFirstPause;
    timer_->arm(clock_.now() + pause);
    pause = std::min(pause * 2, kLongestPause);
    std::array<pollfd, 2> waiting{
        {{.fd = stop_.fd(), .events = POLLIN, .revents = 0}, {.fd = timer_->fd(), .events = POLLIN, .revents = 0}}};
    wait_for(waiting);
    if (waiting[0].revents != 0) return;
  }
}

std::optional<std::string> Server::run_listener() {
  const Announcement announcement;
  Listener listener(settings_.places, announcement.variable(), clock_);
  bool answers = false;
  timer_->arm(clock_.now() + kStartLimit);
  while (true) {
    std::array<pollfd, 4> waiting{{{.fd = stop_.fd(), .events = POLLIN, .revents = 0},
                                   {.fd = listener.ended_fd(), .events = POLLIN, .revents = 0},
                                   {.fd = answers ? -1 : announcement.fd(), .events = POLLIN, .revents = 0},
                                   {.fd = answers ? -1 : timer_->fd(), .events = POLLIN, .revents = 0}}};
    wait_for(waiting);
    if (waiting[0].revents != 0) return std::nullopt;
    if (waiting[1].revents != 0) return listener.describe_end();
    if (waiting[2].revents != 0) {
      answers = true;
      set(Stage::answering, std::nullopt);
    } else if (waiting[3].revents != 0) {
      return std::format("did not begin to listen within {} s", kStartLimit.count());
    }
  }
}

}  // namespace dstack::runner::ssh
