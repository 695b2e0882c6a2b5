#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/child.h"
#include "common/os/clock.h"
#include "common/secret.h"
#include "runner/join/progress.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// Why a tunnel could not be opened, or ended, by what ssh wrote last.
struct TunnelEnd {
  enum class Kind { other, login_refused, address_taken, relay_changed };
  Kind kind = Kind::other;
  std::string reason;
};
TunnelEnd describe_end(const std::string& last_words, const std::string& how, const Places& places, const Relay& relay);

// The command line of the ssh that opens a tunnel: the relay listens at `listen` for this host's SSH server.
std::vector<std::string> tunnel_command(const Places& places, const Relay& relay, const std::string& listen);

// How long to wait before the next try: 1 s, doubled up to 15 s, each by up to a fifth more or less.
class Backoff {
 public:
  // `spread` returns a number of 0 … 1.
  explicit Backoff(std::function<double()> spread) : spread_(std::move(spread)) {}
  std::chrono::milliseconds next();
  void reset() { base_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{1000};
  std::function<double()> spread_;
  std::chrono::milliseconds base_ = kFirst;
};

// What a tunnel needs to know of the token's user.
struct TunnelUser {
  std::string id;
  Secret private_key;
};

// Keeps a reverse tunnel to the relay open, one at a time, by the host's ssh. Through it goes a heartbeat: a byte every
// 10 s that the relay answers; without an answer for 30 s the tunnel is given up. Works on the thread that calls run().
class Tunnel {
 public:
  struct Server {
    std::function<TunnelUser()> user;                  // throws Failure
    std::function<std::vector<std::string>()> in_use;  // addresses that fleets have; throws Failure
  };
  // `state` has a relay. `changed` is called whenever the way in has opened or closed. All outlive this object.
  Tunnel(Places places, StateFile& state, Server server, Progress& progress, os::Clock& clock,
         std::function<void()> changed);

  // Until a stop is requested.
  void run(const std::stop_token& stop);

 private:
  // Settles at which address the relay listens, and the key. Throws Failure, Error.
  std::string settle();
  // From ssh's start to its end.
  TunnelEnd hold(const std::string& listen, const std::stop_token& stop);
  void opened();
  void closed(const TunnelEnd& end);
  void write_key(const TunnelUser& user) const;

  const Places places_;
  StateFile& state_;
  const Relay relay_;
  const Server server_;
  Progress& progress_;
  os::Clock& clock_;
  const std::function<void()> changed_;
  Backoff backoff_;
  std::optional<TunnelUser> user_;
  std::optional<os::SteadyTime> open_since_;
};

}  // namespace dstack::runner::join
