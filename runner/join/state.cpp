#include "runner/join/state.h"

#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/os/file.h"
#include "common/server_api/settings.h"

namespace dstack::runner::join {

using nlohmann::json;
using Reader = dstack::json::ObjectReader;

namespace {

constexpr std::array<std::pair<WayIn, const char*>, 4> kWays = {{{WayIn::loopback, "loopback"},
                                                                 {WayIn::direct, "direct"},
                                                                 {WayIn::host_sshd, "host_sshd"},
                                                                 {WayIn::tunnel, "tunnel"}}};

const char* name_of(WayIn way) {
  for (const auto& [value, name] : kWays) {
    if (value == way) return name;
  }
  return "loopback";
}

WayIn way_of(const std::string& text) {
  for (const auto& [value, name] : kWays) {
    if (text == name) return value;
  }
  throw Error(ErrorKind::invalid, std::format("way_in: unknown value {}", printable(text)));
}

json to_json(const HostPort& address) { return {{"host", address.host}, {"port", address.port}}; }

HostPort read_host_port(const Reader& reader) {
  return {.host = reader.string("host"), .port = static_cast<int>(reader.integer("port", 22, 1, 65535))};
}

json to_json(const Relay& relay) {
  return {{"server", to_json(relay.server)}, {"user", relay.user}, {"key", relay.key}, {"listen", relay.listen}};
}

Relay read_relay(const Reader& reader) {
  Relay relay{.user = reader.string("user"), .key = reader.string("key"), .listen = reader.string("listen")};
  reader.object("server", [&relay](const Reader& server) { relay.server = read_host_port(server); });
  return relay;
}

json to_json(const Before& before) {
  return {{"ssh_folder", before.ssh_folder},
          {"ssh_folder_mode", before.ssh_folder_mode},
          {"authorized_keys", before.authorized_keys},
          {"marked_lines", before.marked_lines},
          {"shim_environment", before.shim_environment},
          {"shim_unit", before.shim_unit ? json(*before.shim_unit) : json()},
          {"shim_enabled", before.shim_enabled},
          {"shim_active", before.shim_active}};
}

Before read_before(const Reader& reader) {
  return {.ssh_folder = reader.boolean("ssh_folder"),
          .ssh_folder_mode = static_cast<int>(reader.integer("ssh_folder_mode", 0700, 0, 07777)),
          .authorized_keys = reader.boolean("authorized_keys"),
          .marked_lines = reader.strings("marked_lines"),
          .shim_environment = reader.boolean("shim_environment"),
          .shim_unit = reader.optional_string("shim_unit"),
          .shim_enabled = reader.boolean("shim_enabled"),
          .shim_active = reader.boolean("shim_active")};
}

State read_state(const Reader& reader) {
  State state{.name = reader.string("name"),
              .name_is_chosen = reader.boolean("name_is_chosen"),
              .way_in = way_of(reader.string("way_in")),
              .relay_number = static_cast<int>(reader.integer("relay_number", 0, 0, 32)),
              .blocks = reader.string("blocks", "1"),
              .environment = reader.string_map("environment"),
              .keep_server_binaries = reader.boolean("keep_server_binaries"),
              .was_live = reader.boolean("was_live")};
  reader.object("address", [&state](const Reader& address) { state.address = read_host_port(address); });
  reader.object("relay", [&state](const Reader& relay) { state.relay = read_relay(relay); });
  reader.object("before", [&state](const Reader& before) { state.before = read_before(before); });
  return state;
}

}  // namespace

std::optional<State> load_state(const Places& places) {
  std::error_code failure;
  if (!std::filesystem::exists(places.state(), failure)) return std::nullopt;
  try {
    const json object = dstack::json::parse_object(os::read_file(places.state()));
    return read_state(Reader(object));
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("{}: {}", places.state().string(), error.what()));
  }
}

void store_state(const Places& places, const State& state) {
  const json object = {{"name", state.name},
                       {"name_is_chosen", state.name_is_chosen},
                       {"way_in", name_of(state.way_in)},
                       {"address", to_json(state.address)},
                       {"relay", state.relay ? to_json(*state.relay) : json()},
                       {"relay_number", state.relay_number},
                       {"blocks", state.blocks},
                       {"environment", state.environment},
                       {"keep_server_binaries", state.keep_server_binaries},
                       {"was_live", state.was_live},
                       {"before", to_json(state.before)}};
  os::write_file_atomic(places.state(), dstack::json::dump(object, 2) + "\n", 0600);
}

State StateFile::get() const {
  const os::Lock lock(mutex_);
  return state_;
}

void StateFile::change(const std::function<void(State&)>& what) {
  const os::Lock lock(mutex_);
  what(state_);
  store_state(places_, state_);
}

server_api::Account load_account(const Places& places) {
  const server_api::SettingsFiles files{.own = places.account(), .cli = places.folder() / "none"};
  return server_api::resolve({}, files, [](const char*) -> const char* { return nullptr; }).account();
}

bool store_account(const Places& places, const server_api::Account& account) {
  std::error_code failure;
  if (std::filesystem::exists(places.account(), failure)) {
    try {
      const auto before = load_account(places);
      if (before.url == account.url && before.token == account.token && before.project == account.project) return false;
    } catch (const std::exception&) {  // replaced
      std::filesystem::remove(places.account(), failure);
    }
  }
  server_api::store(places.account(),
                    {.token = account.token.reveal(), .server = account.url, .project = account.project});
  return true;
}

}  // namespace dstack::runner::join
