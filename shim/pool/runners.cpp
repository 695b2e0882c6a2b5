#include "shim/pool/runners.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <format>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/server_api/flags.h"
#include "common/server_api/time.h"
#include "shim/client/columns.h"
#include "shim/client/output.h"
#include "shim/client/text.h"

namespace dstack::shim::pool {

using nlohmann::json;
using server_api::Event;
using server_api::Fleet;
using server_api::Instance;

namespace {

constexpr std::size_t kIdsOfACall = 16;
constexpr std::size_t kEventPage = 100;

std::string status_of(const Instance& instance) {
  if (instance.alive()) return instance.unreachable ? "OFFLINE" : "LIVE";
  if (instance.status == "pending" || instance.status == "provisioning") return "JOINING";
  if (instance.status == "terminating") return "LEAVING";
  if (instance.status == "terminated") return "FAILED";
  std::string status = client::legible(instance.status);
  for (char& letter : status) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return status;
}

std::string host_of(const Fleet& fleet, const Instance& instance, bool only_host) {
  if (fleet.over_ssh && only_host) {
    const auto found = fleet.environment.find("DSTACK_RUNNER_HOST");
    if (found != fleet.environment.end() && !found->second.empty()) return found->second;
    if (instance.hostname.empty() && !fleet.hosts.empty()) return fleet.hosts[0].hostname;
  }
  return instance.hostname.empty() ? "-" : instance.hostname;
}

// What stands in the lists of instances that have no event yet.
class Newest {
 public:
  explicit Newest(const std::vector<Runner*>& runners) {
    for (Runner* runner : runners) missing_[runner->instance.id] = runner;
  }

  void take(const Event& event) {
    const auto recorded = server_api::parse_time(event.recorded_at);
    for (const std::string& target : event.targets) {
      const auto found = missing_.find(target);
      if (found == missing_.end()) continue;
      if (recorded) found->second->updated = recorded;
      missing_.erase(found);
    }
  }

  // Events come newest first: none is older than its instance.
  bool may_come_after(const Event& event) const {
    const auto recorded = server_api::parse_time(event.recorded_at);
    return std::ranges::any_of(missing_, [&](const auto& entry) {
      return !recorded || !entry.second->updated || *recorded >= *entry.second->updated;
    });
  }

 private:
  std::map<std::string, Runner*> missing_;  // by the instance's id
};

}  // namespace

std::string Runner::reason() const {
  std::string text = client::legible(instance.termination_reason);
  if (!instance.termination_message.empty()) {
    text += (text.empty() ? "" : ": ") + client::legible(instance.termination_message);
  }
  return text;
}

std::vector<Runner> runners_of(const std::vector<Fleet>& fleets, bool all) {
  std::vector<Runner> runners;
  for (const Fleet& fleet : fleets) {
    const bool only_host = fleet.hosts.size() <= 1;
    for (const Instance& instance : fleet.instances) {
      if (instance.status == "terminated" && !all) continue;
      runners.push_back({.name = fleet.over_ssh && only_host ? fleet.name : instance.name,
                         .host = host_of(fleet, instance, only_host),
                         .status = status_of(instance),
                         .updated = server_api::parse_time(instance.created),
                         .self_hosted = fleet.over_ssh,
                         .fleet = fleet.name,
                         .instance = instance});
    }
  }
  std::ranges::stable_sort(runners, {}, &Runner::name);
  return runners;
}

void look_up_events(server_api::Client& server, std::vector<Runner>& runners) {
  for (std::size_t begin = 0; begin < runners.size(); begin += kIdsOfACall) {
    std::vector<std::string> ids;
    std::vector<Runner*> asked;
    for (std::size_t i = begin; i < std::min(begin + kIdsOfACall, runners.size()); ++i) {
      ids.push_back(runners[i].instance.id);
      asked.push_back(&runners[i]);
    }
    Newest newest(asked);
    std::optional<Event> last;
    while (true) {
      const std::vector<Event> page = server.events(ids, last);
      for (const Event& event : page) newest.take(event);
      if (page.size() < kEventPage || !newest.may_come_after(page.back())) break;
      last = page.back();
    }
  }
}

std::string runner_table(const std::vector<Runner>& runners, os::WallTime now) {
  client::Rows rows = {{"RUNNER", "HOST", "STATUS", "UPDATED"}};
  for (const Runner& runner : runners) {
    rows.push_back({client::legible(runner.name), client::legible(runner.host), runner.status,
                    runner.updated ? server_api::ago(*runner.updated, now) : "-"});
  }
  return client::in_columns(rows);
}

json runner_list(const std::vector<Runner>& runners) {
  json list = json::array();
  for (const Runner& runner : runners) {
    const Instance& instance = runner.instance;
    json resources;
    if (instance.resources) {
      resources = {{"cpus", instance.resources->cpus},
                   {"memory_mib", instance.resources->memory_mib},
                   {"gpus", instance.resources->gpus}};
    }
    list.push_back({{"runner", runner.name},
                    {"host", runner.host == "-" ? json() : json(runner.host)},
                    {"status", runner.status},
                    {"updated", runner.updated ? json(server_api::rfc3339(*runner.updated)) : json()},
                    {"kind", runner.self_hosted ? "self-hosted" : "on-demand"},
                    {"fleet", runner.fleet},
                    {"instance_status", instance.status},
                    {"unreachable", instance.unreachable},
                    {"busy", instance.status == "busy" || instance.busy_blocks > 0},
                    {"resources", resources},
                    {"price", instance.price ? json(*instance.price) : json()},
                    {"reason", runner.reason()}});
  }
  return list;
}

CLI::App* add_runners_command(CLI::App& app, RunnersOptions& options) {
  CLI::App* runners = app.add_subcommand("runners", "List the machines that take jobs of a project of a dstack server");
  server_api::add_account_flags(*runners, options.given);
  runners->add_flag("--all", options.all, "Those that failed, too");
  runners->add_flag("--json", options.json, "Print them as JSON");
  return runners;
}

int list_runners(const RunnersOptions& options) {
  server_api::Client server(server_api::find_account(options.given));
  std::vector<Runner> runners = runners_of(server.fleets(), options.all);
  look_up_events(server, runners);
  if (options.json) {
    client::write_answer(dstack::json::dump(runner_list(runners), 2) + "\n");
    return 0;
  }
  client::write_answer(runner_table(runners, os::system_clock().wall()));
  if (runners.empty()) std::cerr << std::format("there are no runners in project {}\n", server.account().project);
  for (const Runner& runner : runners) {
    if (runner.status == "FAILED") std::cerr << std::format("{}: {}\n", client::legible(runner.name), runner.reason());
  }
  return 0;
}

}  // namespace dstack::shim::pool
