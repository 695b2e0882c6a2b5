#include <unistd.h>

#include <format>
#include <nlohmann/json.hpp>
#include <print>

#include "common/exit_status.h"
#include "common/json/dump.h"
#include "common/os/command.h"
#include "common/text/trim.h"
#include "common/version.h"
#include "runner/join/fleet_keeper.h"
#include "runner/join/identity.h"
#include "runner/join/options.h"
#include "runner/join/progress.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

using nlohmann::json;

namespace {

std::string shim_version(const Places& places) {
  try {
    const auto result = os::run_command({.arguments = {places.programs() / "dstack-shim", "--version"}});
    const std::string_view said = text::trim(result.output);
    return result.succeeded() ? std::string(said.substr(said.rfind(' ') + 1)) : "";
  } catch (const std::exception&) {
    return "";
  }
}

// The server is asked; where it does not answer, that is the reason.
void look_at_server(const Places& places, const State& state, json& status) {
  try {
    server_api::Client server(load_account(places));
    status["versions"]["server"] = server.version();
    const auto fleet = server.fleet(state.name);
    if (!fleet || runner_id_of(*fleet) != load_identity(places).id) return;
    status["fleet"] = fleet->status;
    if (fleet->instances.empty()) return;
    const server_api::Instance& instance = fleet->instances.front();
    status["instance"] = instance.status;
    status["unreachable"] = instance.unreachable;
    status["live"] = instance.alive() && !instance.unreachable;
  } catch (const std::exception& error) {
    status["reason"] = error.what();
  }
}

void print(const json& status) {
  const json& way = status["way_in"];
  const auto text = [](const json& value) { return value.is_string() ? value.get<std::string>() : "-"; };
  std::println("{} is {}", text(status["name"]), status["live"] == true ? "live" : "not live");
  std::println("server    {}", text(status["server"]));
  std::println("way in    {} since {}{}", text(way["state"]), text(way["since"]),
               text(way["reason"]).empty() ? "" : ": " + text(way["reason"]));
  std::println("fleet     {}", text(status["fleet"]));
  std::println("instance  {}{}", text(status["instance"]), status["unreachable"] == true ? ", unreachable" : "");
  const json& versions = status["versions"];
  std::println("versions  runner {}, shim {}, server {}", text(versions["runner"]), text(versions["shim"]),
               text(versions["server"]));
  if (!text(status["reason"]).empty()) std::println("reason    {}", text(status["reason"]));
}

}  // namespace

int show_status(const StatusOptions& options) {
  if (::geteuid() != 0)
    throw CommandError(exit_status::kNoPermission, "status must be root: sudo dstack-runner status");
  const Places places = places_of_host();
  const auto state = load_state(places);
  if (!state) {
    if (options.json) std::println("{}", dstack::json::dump({{"name", nullptr}, {"live", false}}));
    std::println(stderr, "not a runner");
    return exit_status::kNotLive;
  }
  const json progress = read_progress(places).value_or(json::object());
  json status = {
      {"name", state->name},
      {"server", load_account(places).url},
      {"way_in",
       progress.value("way_in", json{{"state", "down"}, {"since", ""}, {"reason", "the agent has not started"}})},
      {"fleet", json()},
      {"instance", json()},
      {"unreachable", false},
      {"live", false},
      {"versions", {{"runner", version()}, {"shim", shim_version(places)}, {"server", json()}}},
      {"reason", ""}};
  for (const char* name : {"failed", "programs", "server_problem", "reason"}) {
    // NOLINTNEXTLINE(readability-container-size-empty): of a JSON value that is another question
    if (status["reason"] == "") status["reason"] = progress.value(name, "");
  }
  look_at_server(places, *state, status);
  if (options.json) {
    std::println("{}", dstack::json::dump(status, 2));
  } else {
    print(status);
  }
  return status["live"] == true ? exit_status::kDone : exit_status::kNotLive;
}

}  // namespace dstack::runner::join
