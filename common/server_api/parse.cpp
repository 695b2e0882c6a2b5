#include "common/server_api/parse.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/member.h"

namespace dstack::server_api {

using nlohmann::json;

namespace {

std::string required_text(const json& object, const char* name, const char* of) {
  const json& value = dstack::json::member(object, name);
  if (!value.is_string()) throw Error(ErrorKind::invalid, std::format("{} of {} is missing", name, of));
  return value.get<std::string>();
}

const json& required_list(const json& value, const char* what) {
  if (!value.is_array()) throw Error(ErrorKind::invalid, std::format("{} is missing", what));
  return value;  // NOLINT(bugprone-return-const-ref-from-parameter): a part of an answer that its caller holds
}

std::optional<std::int64_t> integer(const json& object, const char* name) {
  const json& value = dstack::json::member(object, name);
  if (!value.is_number_integer()) return std::nullopt;
  return value.get<std::int64_t>();
}

std::vector<std::string> texts(const json& object, const char* name) {
  std::vector<std::string> list;
  const json& value = dstack::json::member(object, name);
  if (!value.is_array()) return list;
  for (const json& item : value) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

std::map<std::string, std::string> text_map(const json& object, const char* name) {
  std::map<std::string, std::string> map;
  const json& value = dstack::json::member(object, name);
  if (!value.is_object()) return map;
  for (const auto& [key, item] : value.items()) {
    if (item.is_string()) map[key] = item.get<std::string>();
  }
  return map;
}

User parse_user(const json& object, const char* of) {
  return {.id = required_text(object, "id", of),
          .name = required_text(object, "username", of),
          .global_role = dstack::json::text_member(object, "global_role"),
          .ssh_public_key = dstack::json::text_member(object, "ssh_public_key")};
}

std::optional<Resources> parse_resources(const json& instance) {
  const json& found = dstack::json::member(dstack::json::member(instance, "instance_type"), "resources");
  if (!found.is_object()) return std::nullopt;
  Resources resources{.cpus = integer(found, "cpus").value_or(0),
                      .memory_mib = integer(found, "memory_mib").value_or(0)};
  const json& gpus = dstack::json::member(found, "gpus");
  if (gpus.is_array()) {
    for (const json& gpu : gpus) resources.gpus.push_back(dstack::json::text_member(gpu, "name"));
  }
  return resources;
}

Instance parse_instance(const json& object) {
  Instance instance{.id = required_text(object, "id", "an instance"),
                    .name = required_text(object, "name", "an instance"),
                    .number = integer(object, "instance_num").value_or(0),
                    .status = required_text(object, "status", "an instance"),
                    .busy_blocks = integer(object, "busy_blocks").value_or(0),
                    .hostname = dstack::json::text_member(object, "hostname"),
                    .backend = dstack::json::text_member(object, "backend"),
                    .region = dstack::json::text_member(object, "region"),
                    .resources = parse_resources(object),
                    .created = dstack::json::text_member(object, "created"),
                    .termination_reason = dstack::json::text_member(object, "termination_reason"),
                    .termination_message = dstack::json::text_member(object, "termination_reason_message")};
  instance.unreachable = dstack::json::member(object, "unreachable") == json(true);
  if (const json& price = dstack::json::member(object, "price"); price.is_number())
    instance.price = price.get<double>();
  return instance;
}

std::vector<FleetHost> parse_hosts(const json& ssh_config) {
  std::vector<FleetHost> hosts;
  const json& found = dstack::json::member(ssh_config, "hosts");
  if (!found.is_array()) return hosts;
  const std::int64_t common_port = integer(ssh_config, "port").value_or(0);
  for (const json& host : found) {
    // A host is its name alone where nothing more is said of it.
    if (host.is_string()) {
      hosts.push_back({.hostname = host.get<std::string>(), .port = common_port});
    } else {
      hosts.push_back({.hostname = dstack::json::text_member(host, "hostname"),
                       .port = integer(host, "port").value_or(common_port)});
    }
  }
  return hosts;
}

}  // namespace

MyUser parse_my_user(const json& answer) {
  return {.user = parse_user(answer, "the user"),
          .ssh_private_key = Secret(dstack::json::text_member(answer, "ssh_private_key"))};
}

Project parse_project(const json& answer) {
  Project project{.name = required_text(answer, "project_name", "the project")};
  for (const json& backend :
       required_list(dstack::json::member(answer, "backends"), "the list of the project's backends")) {
    project.backends.push_back({.name = dstack::json::text_member(backend, "name"),
                                .regions = texts(dstack::json::member(backend, "config"), "regions")});
  }
  for (const json& found :
       required_list(dstack::json::member(answer, "members"), "the list of the project's members")) {
    project.members.push_back({.user = parse_user(dstack::json::member(found, "user"), "a member"),
                               .role = dstack::json::text_member(found, "project_role")});
  }
  return project;
}

Fleet parse_fleet(const json& answer) {
  Fleet fleet{.id = required_text(answer, "id", "a fleet"),
              .name = required_text(answer, "name", "a fleet"),
              .project = dstack::json::text_member(answer, "project_name"),
              .status = dstack::json::text_member(answer, "status"),
              .created = dstack::json::text_member(answer, "created_at")};
  const json& configuration = dstack::json::member(dstack::json::member(answer, "spec"), "configuration");
  const json& ssh = dstack::json::member(configuration, "ssh_config");
  fleet.over_ssh = ssh.is_object();
  fleet.hosts = parse_hosts(ssh);
  fleet.environment = text_map(configuration, "env");
  fleet.tags = text_map(configuration, "tags");
  fleet.maximum = integer(dstack::json::member(configuration, "nodes"), "max");
  fleet.regions = texts(configuration, "regions");
  fleet.instance_types = texts(configuration, "instance_types");
  fleet.spot_policy = dstack::json::text_member(configuration, "spot_policy");
  fleet.idle_seconds = integer(configuration, "idle_duration");
  for (const json& instance :
       required_list(dstack::json::member(answer, "instances"), "the list of a fleet's instances")) {
    fleet.instances.push_back(parse_instance(instance));
  }
  return fleet;
}

std::vector<Fleet> parse_fleets(const json& answer) {
  std::vector<Fleet> fleets;
  for (const json& fleet : required_list(answer, "the list of fleets")) fleets.push_back(parse_fleet(fleet));
  return fleets;
}

FleetPlan parse_fleet_plan(const json& answer) {
  const auto total = integer(answer, "total_offers");
  if (!total) throw Error(ErrorKind::invalid, "total_offers of a fleet's plan is missing");
  FleetPlan plan{.total_offers = *total};
  for (const json& found : required_list(dstack::json::member(answer, "offers"), "the list of a plan's offers")) {
    Offer offer{.instance_type = dstack::json::text_member(dstack::json::member(found, "instance"), "name"),
                .region = dstack::json::text_member(found, "region"),
                .availability = dstack::json::text_member(found, "availability")};
    if (const json& price = dstack::json::member(found, "price"); price.is_number()) offer.price = price.get<double>();
    plan.offers.push_back(std::move(offer));
  }
  return plan;
}

std::vector<Event> parse_events(const json& answer) {
  std::vector<Event> events;
  for (const json& found : required_list(answer, "the list of events")) {
    Event event{.id = required_text(found, "id", "an event"),
                .recorded_at = required_text(found, "recorded_at", "an event"),
                .message = dstack::json::text_member(found, "message")};
    if (const json& targets = dstack::json::member(found, "targets"); targets.is_array()) {
      for (const json& target : targets) event.targets.push_back(dstack::json::text_member(target, "id"));
    }
    events.push_back(std::move(event));
  }
  return events;
}

std::vector<Run> parse_runs(const json& answer) {
  std::vector<Run> runs;
  for (const json& found : required_list(answer, "the list of runs")) {
    Run run{.name = required_text(dstack::json::member(found, "run_spec"), "run_name", "a run"),
            .status = dstack::json::text_member(found, "status"),
            .fleet = dstack::json::text_member(dstack::json::member(found, "fleet"), "name")};
    if (const json& jobs = dstack::json::member(found, "jobs"); jobs.is_array()) {
      for (const json& job : jobs) {
        const json& submissions = dstack::json::member(job, "job_submissions");
        if (!submissions.is_array() || submissions.empty()) continue;
        const std::string hostname =
            dstack::json::text_member(dstack::json::member(submissions.back(), "job_provisioning_data"), "hostname");
        if (hostname.empty()) {
          run.waits_for_host = true;
        } else {
          run.hostnames.push_back(hostname);
        }
      }
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

const Backend* Project::backend(const std::string& wanted) const {
  const auto found = std::ranges::find(backends, wanted, &Backend::name);
  return found == backends.end() ? nullptr : &*found;
}

bool Project::has_member(const std::string& user_name) const {
  return std::ranges::any_of(members, [&](const Member& found) { return found.user.name == user_name; });
}

}  // namespace dstack::server_api
