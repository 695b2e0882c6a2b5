#include "runner/join/fleet_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/server_api/failure.h"
#include "common/text/number.h"
#include "runner/join/runner_name.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;
using nlohmann::json;
using server_api::Failure;
using server_api::FailureKind;
using server_api::Fleet;
using server_api::Instance;

namespace {

constexpr std::chrono::seconds kLookPause = 60s;
constexpr std::chrono::seconds kJoiningPause = 5s;  // until the server has taken the host in
constexpr std::chrono::seconds kGonePause = 2s;     // until a fleet that was deleted is gone
constexpr std::chrono::seconds kDeniedPause = 5min;
constexpr std::chrono::seconds kFirstPauseBeforeAnother = 1min;
constexpr std::chrono::seconds kLongestPauseBeforeAnother = 30min;
constexpr const char* kIdVariable = "DSTACK_RUNNER_ID";
constexpr const char* kHostVariable = "DSTACK_RUNNER_HOST";

using What = FleetKeeper::Next::What;

std::string value_in(const Fleet& fleet, const char* variable) {
  const auto found = fleet.environment.find(variable);
  return found == fleet.environment.end() ? "" : found->second;
}

// The one that counts: of a host that was given up and taken in again both may be there.
const Instance& newest(const Fleet& fleet) {
  const auto not_over =
      std::ranges::find_if(fleet.instances, [](const Instance& i) { return i.status != "terminated"; });
  return not_over == fleet.instances.end() ? fleet.instances.back() : *not_over;
}

std::string reason_of(const Instance& instance) {
  std::string reason = instance.termination_reason;
  if (!instance.termination_message.empty()) reason += (reason.empty() ? "" : ": ") + instance.termination_message;
  return reason;
}

bool is_denied(const Failure& failure) {
  const FailureKind reason = failure.reason();
  return reason == FailureKind::invalid_token || reason == FailureKind::forbidden ||
         reason == FailureKind::not_member || reason == FailureKind::no_project || failure.http_status() == 403;
}

}  // namespace

json fleet_spec(const State& state, const FleetTerms& terms) {
  json environment = state.environment;
  environment[kIdVariable] = terms.runner_id;
  environment[kHostVariable] = terms.host_name;
  environment["DSTACK_RUNNER_BINARY_PATH"] = terms.container_program;
  const json host = {{"hostname", state.address.host},
                     {"port", state.address.port},
                     {"user", "root"},
                     {"ssh_key", {{"public", terms.public_key}, {"private", terms.private_key.reveal()}}}};
  const json blocks = state.blocks == "auto" ? json("auto") : json(text::parse_number<int>(state.blocks).value_or(1));
  return {{"configuration",
           {{"type", "fleet"},
            {"name", state.name},
            {"blocks", blocks},
            {"ssh_config", {{"hosts", json::array({host})}}},
            {"env", environment}}},
          {"profile", {{"name", "default"}}}};
}

std::string runner_id_of(const Fleet& fleet) { return value_in(fleet, kIdVariable); }
std::string host_name_of(const Fleet& fleet) { return value_in(fleet, kHostVariable); }

FleetKeeper::FleetKeeper(FleetServer& server, StateFile& state, FleetTerms terms, Progress& progress, os::Clock& clock)
    : server_(server),
      file_(state),
      terms_(std::move(terms)),
      progress_(progress),
      clock_(clock),
      pause_before_next_(kFirstPauseBeforeAnother) {}

void FleetKeeper::change(const std::function<void(State&)>& what) {
  file_.change(what);
  state_ = file_.get();
}

FleetKeeper::Next FleetKeeper::look() {
  state_ = file_.get();
  try {
    const Next next = look_at(server_.fleet(state_.name));
    if (next.what == What::look_again) progress_.server_problem("");
    return next;
  } catch (const Failure& failure) {
    progress_.server_problem(failure.what());
    if (failure.is("resource_exists")) return name_is_taken("");
    return {.pause = is_denied(failure) ? kDeniedPause : state_.was_live ? kLookPause : kJoiningPause};
  }
}

FleetKeeper::Next FleetKeeper::look_at(const std::optional<Fleet>& fleet) {
  if (!fleet) {
    progress_.fleet("", "", "");
    terminating_since_.reset();
    return state_.was_live ? Next{.what = What::deleted} : make();
  }
  if (runner_id_of(*fleet) != terms_.runner_id) {
    // Ours was deleted, and its name is another's.
    if (state_.was_live) return {.what = What::deleted};
    // One that is on its way out makes room.
    if (fleet->status == "terminating") {
      if (!terminating_since_) terminating_since_ = clock_.now();
      if (clock_.now() - *terminating_since_ < 60s) return {.pause = kGonePause};
    }
    return name_is_taken(host_name_of(*fleet));
  }
  return look_at_ours(*fleet);
}

FleetKeeper::Next FleetKeeper::look_at_ours(const Fleet& fleet) {
  if (fleet.status == "terminating") {
    progress_.fleet(fleet.status, "terminating", "");
    return {.pause = kGonePause};
  }
  if (fleet.instances.empty()) {
    progress_.fleet(fleet.status, "", "");
    return {.what = What::deleted};
  }
  const Instance& instance = newest(fleet);
  progress_.fleet(fleet.status, instance.status, reason_of(instance));
  if (instance.status == "terminated") {
    return make_anew(std::format("the server has given up on this host ({})", reason_of(instance)));
  }
  const bool has_jobs = instance.status == "busy" || instance.busy_blocks > 0;
  const HostPort there =
      fleet.hosts.empty() ? HostPort{} : HostPort{fleet.hosts[0].hostname, static_cast<int>(fleet.hosts[0].port)};
  if (there != state_.address && !has_jobs) {
    return make_anew(std::format("the server has {}:{} as this host's address, it is {}:{}", printable(there.host),
                                 there.port, state_.address.host, state_.address.port));
  }
  if (!instance.alive()) return {.pause = kJoiningPause};
  if (!state_.was_live) {
    change([](State& state) { state.was_live = true; });
    spdlog::info("{} is live", state_.name);
  }
  pause_before_next_ = kFirstPauseBeforeAnother;
  return {.pause = kLookPause};
}

FleetKeeper::Next FleetKeeper::make() {
  // A server that cannot reach a host within ten minutes gives it up for good.
  if (!progress_.way_is_open()) return {.pause = kLookPause};
  if (terms_.is_leaving()) return {.pause = kGonePause};
  if (not_made_before_ && clock_.now() < *not_made_before_) {
    return {.pause = std::chrono::ceil<std::chrono::seconds>(*not_made_before_ - clock_.now())};
  }
  server_.create(fleet_spec(state_, terms_));
  spdlog::info("Fleet {} was created at the server, with this host as {}:{}", state_.name, state_.address.host,
               state_.address.port);
  progress_.fleet("submitted", "pending", "");
  return {.pause = kJoiningPause};
}

FleetKeeper::Next FleetKeeper::make_anew(const std::string& why) {
  spdlog::warn("Recreating fleet {}: {}", state_.name, why);
  // A fleet that is gone by this is not one that somebody deleted.
  change([](State& state) { state.was_live = false; });
  server_.remove(state_.name);
  not_made_before_ = clock_.now() + pause_before_next_;
  pause_before_next_ = std::min(pause_before_next_ * 2, kLongestPauseBeforeAnother);
  return {.pause = kGonePause};
}

FleetKeeper::Next FleetKeeper::name_is_taken(const std::string& by) {
  if (state_.name_is_chosen) {
    progress_.failed(std::format("there is a fleet {} in this project already{}: choose another --name", state_.name,
                                 by.empty() ? "" : ", of the host " + printable(by)));
    return {.what = What::failed};
  }
  // The next number after the one that it ends with, if that was added here.
  const std::string base = runner_name_of(terms_.host_name);
  int number = 2;
  while (number < 1000 && state_.name != base && numbered(base, number - 1) != state_.name) ++number;
  if (state_.name == base) number = 2;
  change([&](State& state) { state.name = numbered(base, number); });
  spdlog::info("The name is taken at the server: trying {}", state_.name);
  return {.pause = 0s};
}

}  // namespace dstack::runner::join
