#include "runner/join/tunnel.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <format>
#include <random>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/wait.h"
#include "common/server_api/failure.h"
#include "common/server_api/relay_listen.h"
#include "runner/join/host_login.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kBeat = 10s;
constexpr std::chrono::seconds kSilence = 30s;    // without an answer
constexpr std::chrono::seconds kOpenLimit = 30s;  // from ssh's start to the first answer
constexpr std::chrono::seconds kSettled = 3s;     // a relay of another kind, which answers nothing, is taken for open
constexpr std::chrono::minutes kLongUp = 5min;    // then the next pause is the first again
constexpr std::chrono::milliseconds kLongestPause{15'000};
constexpr std::size_t kWordsLimit = 4096;

double random_share() {
  static thread_local std::mt19937 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

std::string last_line(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  const std::size_t start = text.rfind('\n');
  return start == std::string::npos ? text : text.substr(start + 1);
}

// Takes what is there; false at the end of it.
bool drain(os::UniqueFd& pipe, std::string& into, std::size_t limit) {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(pipe.get(), buffer.data(), buffer.size());
    if (count > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(count));
      if (into.size() > limit) into.erase(0, into.size() - limit);
    } else if (count == 0) {
      pipe.reset();
      return false;
    } else if (errno != EINTR) {
      return true;
    }
  }
}

}  // namespace

std::vector<std::string> tunnel_command(const Places& places, const Relay& relay, const std::string& listen) {
  std::vector<std::string> command = {"ssh", "-T", "-F", "none"};
  const auto option = [&command](const std::string& text) {
    command.emplace_back("-o");
    command.push_back(text);
  };
  option("BatchMode=yes");
  option("IdentitiesOnly=yes");
  option("ExitOnForwardFailure=yes");
  option("ConnectTimeout=10");
  option("StrictHostKeyChecking=accept-new");
  option(std::format("UserKnownHostsFile={}", places.known_hosts().string()));
  option("GlobalKnownHostsFile=/dev/null");
  option("LogLevel=ERROR");
  if (!relay.is_ours()) {
    // Nothing at the other end answers bytes there.
    option("ServerAliveInterval=10");
    option("ServerAliveCountMax=3");
    command.emplace_back("-N");
  }
  command.insert(command.end(), {"-i", relay.key.empty() ? places.user_key().string() : relay.key});
  command.insert(command.end(), {"-p", std::to_string(relay.server.port)});
  command.insert(command.end(), {"-R", std::format("{}:127.0.0.1:{}", listen, kLoginPort)});
  command.push_back(std::format("{}@{}", relay.user, relay.server.host));
  return command;
}

TunnelEnd describe_end(const std::string& last_words, const std::string& how, const Places& places,
                       const Relay& relay) {
  TunnelEnd end{.reason = std::format("ssh to the relay {} {}", relay.server.host, how)};
  const std::string line = last_line(last_words);
  if (!line.empty()) end.reason += ": " + printable(line);
  if (last_words.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") ||
      last_words.contains("Host key verification failed")) {
    const std::string host =
        relay.server.port == 22 ? relay.server.host : std::format("[{}]:{}", relay.server.host, relay.server.port);
    end.kind = TunnelEnd::Kind::relay_changed;
    end.reason =
        std::format("the relay {} has another host key than before. If that is right: ssh-keygen -R '{}' -f {}",
                    relay.server.host, host, places.known_hosts().string());
  } else if (last_words.contains("Permission denied")) {
    end.kind = TunnelEnd::Kind::login_refused;
  } else if (last_words.contains("remote port forwarding failed")) {
    end.kind = TunnelEnd::Kind::address_taken;
  }
  return end;
}

std::chrono::milliseconds Backoff::next() {
  const auto share = 0.8 + 0.4 * spread_();
  const auto pause = std::chrono::milliseconds(
      static_cast<std::chrono::milliseconds::rep>(static_cast<double>(base_.count()) * share));
  base_ = std::min(base_ * 2, kLongestPause);
  return pause;
}

Tunnel::Tunnel(Places places, StateFile& state, Server server, Progress& progress, os::Clock& clock,
               std::function<void()> changed)
    : places_(std::move(places)),
      state_(state),
      // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is a tunnel only with a relay
      relay_(state.get().relay.value()),
      server_(std::move(server)),
      progress_(progress),
      clock_(clock),
      changed_(std::move(changed)),
      backoff_(random_share) {}

void Tunnel::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    TunnelEnd end;
    try {
      end = hold(settle(), stop);
    } catch (const std::exception& error) {
      end.reason = error.what();
    }
    if (stop.stop_requested()) return;
    closed(end);
    if (!os::pause(clock_, backoff_.next(), stop)) return;
  }
}

std::string Tunnel::settle() {
  if (!relay_.is_ours()) return relay_.listen;
  if (!user_) {
    const TunnelUser user = server_.user();
    write_key(user);
    user_ = user;
  }
  int number = state_.get().relay_number;
  if (number == 0) {
    const std::vector<std::string> used = server_.in_use();
    number = 1;
    while (number < server_api::kRelayAddresses &&
           std::ranges::find(used, server_api::relay_listen_address(user_->id, number)) != used.end()) {
      ++number;
    }
  }
  const HostPort given{.host = server_api::relay_listen_address(user_->id, number),
                       .port = server_api::kRelayListenPort};
  const State before = state_.get();
  if (before.address != given || before.relay_number != number) {
    state_.change([&](State& state) {
      state.address = given;
      state.relay_number = number;
    });
  }
  return std::format("{}:{}", given.host, given.port);
}

void Tunnel::write_key(const TunnelUser& user) const {
  if (relay_.key.empty()) os::write_file_atomic(places_.user_key(), user.private_key.reveal(), 0600);
}

TunnelEnd Tunnel::hold(const std::string& listen, const std::stop_token& stop) {
  const Relay& relay = relay_;
  os::Child ssh({.arguments = tunnel_command(places_, relay, listen),
                 .input = os::ChildStream::pipe(),
                 .output = os::ChildStream::pipe(),
                 .errors = os::ChildStream::pipe(),
                 .dies_with_parent = true},
                clock_, stop);
  open_since_.reset();
  const os::SteadyTime started = clock_.now();
  os::SteadyTime heard = started;
  os::SteadyTime next_beat = started;
  std::string words;
  std::string answers;
  const auto over = [&](const std::string& how) { return describe_end(words, how, places_, relay); };
  while (true) {
    const os::SteadyTime now = clock_.now();
    if (const auto status = ssh.try_wait()) {
      if (ssh.errors()) drain(ssh.errors(), words, kWordsLimit);
      return over(status->describe());
    }
    if (relay.is_ours() && now - heard >= (open_since_ ? kSilence : kOpenLimit)) {
      return over(std::format("gave no answer for {} s", kSilence.count()));
    }
    if (!relay.is_ours() && !open_since_ && now - started >= kSettled) opened();
    if (relay.is_ours() && now >= next_beat) {
      // A pipe that is full is a relay that does not read, whose silence ends the tunnel.
      (void)!::write(ssh.input().get(), "\n", 1);
      next_beat = now + kBeat;
    }
    os::SteadyTime deadline = relay.is_ours() ? std::min(next_beat, heard + kSilence) : now + kBeat;
    if (!relay.is_ours() && !open_since_) deadline = started + kSettled;
    std::array<pollfd, 3> waiting{{{.fd = ssh.ended_fd(), .events = POLLIN, .revents = 0},
                                   {.fd = ssh.output().get(), .events = POLLIN, .revents = 0},
                                   {.fd = ssh.errors().get(), .events = POLLIN, .revents = 0}}};
    if (os::Wait(clock_, stop, deadline).until_ready(waiting, "the tunnel") == os::Wait::Outcome::stopped) return {};
    if (waiting[2].revents != 0) drain(ssh.errors(), words, kWordsLimit);
    if (waiting[1].revents != 0) {
      drain(ssh.output(), answers, 1);
      if (!answers.empty()) {
        answers.clear();
        heard = clock_.now();
        if (!open_since_) opened();
      }
    }
  }
}

void Tunnel::opened() {
  open_since_ = clock_.now();
  progress_.way_in(true, "");
  changed_();
}

void Tunnel::closed(const TunnelEnd& end) {
  progress_.way_in(false, end.reason);
  if (open_since_) {
    if (clock_.now() - *open_since_ >= kLongUp) backoff_.reset();
    changed_();
  } else {
    spdlog::info("The way in: {}", end.reason);
  }
  // The key may be a new one.
  if (end.kind == TunnelEnd::Kind::login_refused) user_.reset();
  // Once the server has this host by an address, it keeps it: then the last session is not over yet.
  if (end.kind == TunnelEnd::Kind::address_taken && relay_.is_ours() && !state_.get().was_live) {
    state_.change([](State& state) { state.relay_number = state.relay_number % server_api::kRelayAddresses + 1; });
  }
}

}  // namespace dstack::runner::join
