#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/os/mutex.h"
#include "common/server_api/client.h"
#include "runner/join/places.h"
#include "runner/join/relay_address.h"

namespace dstack::runner::join {

// How the server comes in.
enum class WayIn {
  loopback,   // it runs on this machine
  direct,     // it reaches the host's address: at our SSH server
  host_sshd,  // the same, at the SSH server that the host has already
  tunnel,     // through a relay
};

struct Relay {
  HostPort server;
  std::string user = "dstack-relay";
  std::string key;     // a file; empty: the key of the token's user
  std::string listen;  // ADDRESS:PORT; empty: one of the user's own addresses

  bool is_ours() const { return listen.empty(); }
  friend bool operator==(const Relay&, const Relay&) = default;
};

// What the host was before joining: what leaving puts back.
struct Before {
  bool ssh_folder = false;
  int ssh_folder_mode = 0700;  // a server makes it 0700 where it makes authorized_keys
  bool authorized_keys = false;
  std::vector<std::string> marked_lines;  // of authorized_keys, that a server had added already
  bool shim_environment = false;
  std::optional<std::string> shim_unit;  // the text of dstack-shim.service
  bool shim_enabled = false;
  bool shim_active = false;
};

// join/state.json: what `start` has settled and what it has changed. Written before anything is changed, so that a
// start that was cut off anywhere can be finished or undone.
struct State {
  std::string name;
  bool name_is_chosen = false;
  WayIn way_in = WayIn::loopback;
  HostPort address;            // that the server is given
  std::optional<Relay> relay;  // of a tunnel
  int relay_number = 0;        // which of the user's addresses it listens on; 0: not settled
  std::string blocks = "1";
  std::map<std::string, std::string> environment;
  bool keep_server_binaries = false;
  bool was_live = false;  // the server has taken the host in, since the fleet was made last
  Before before;
};

// Nothing where this host is not a runner. Throws Error.
std::optional<State> load_state(const Places& places);
void store_state(const Places& places, const State& state);

// The state while the agent works: several threads read and change it. From any thread.
class StateFile {
 public:
  StateFile(Places places, State state) : places_(std::move(places)), state_(std::move(state)) {}

  State get() const;
  // Stores it when `what` has changed it. Throws Error; then it is changed in memory all the same.
  void change(const std::function<void(State&)>& what);

 private:
  const Places places_;
  mutable os::Mutex mutex_;
  State state_ DSTACK_GUARDED_BY(mutex_);
};

// The account that `start` settled, for the service, which has neither its flags nor its environment. Throws Error.
server_api::Account load_account(const Places& places);
// Whether it was another one.
bool store_account(const Places& places, const server_api::Account& account);

}  // namespace dstack::runner::join
