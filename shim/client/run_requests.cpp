#include "shim/client/run_requests.h"

#include <nlohmann/json.hpp>

#include "common/text/number.h"

namespace dstack::shim::client {

using nlohmann::json;

namespace {

// "1000:100" or "name:group".
json user_of(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  json object = json::object();
  if (const auto uid = text::parse_number<std::uint64_t>(user)) {
    object["uid"] = *uid;
  } else {
    object["username"] = user;
  }
  if (const auto gid = text::parse_number<std::uint64_t>(group)) {
    object["gid"] = *gid;
  } else if (!group.empty()) {
    object["groupname"] = group;
  }
  return object;
}

}  // namespace

json task_of(const RunOptions& options, const std::string& id, const std::string& name) {
  json mounts = json::array();
  for (const std::string& volume : options.volumes) {
    const std::size_t colon = volume.find(':');
    mounts.push_back({{"instance_path", volume.substr(0, colon)}, {"path", volume.substr(colon + 1)}});
  }
  return {{"id", id},
          {"name", name},
          {"image_name", options.image},
          {"gpu", options.gpus == "all" ? -1 : text::parse_number<int>(options.gpus).value_or(0)},
          {"cpu", options.cpus},
          {"memory", options.memory},
          {"shm_size", options.shm_size},
          {"network_mode", "bridge"},
          {"instance_mounts", std::move(mounts)},
          {"local", true},
          {"remove_when_ended", options.detach && options.remove}};
}

json job_of(const RunOptions& options, const std::string& id, const std::string& name) {
  json environment = json::object();
  for (const std::string& variable : options.environment) {
    const std::size_t equals = variable.find('=');
    environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  return {{"run", {{"id", id}, {"run_spec", {{"run_name", name}, {"configuration", {{"type", "task"}}}}}}},
          {"job_spec",
           {{"replica_num", 0},
            {"job_num", 0},
            {"jobs_per_replica", 1},
            {"commands", options.command},
            {"env", std::move(environment)},
            {"repo_data", {{"repo_type", "virtual"}}},
            {"repo_dir", "/workflow"},  // required, and unused without code
            {"user", options.user.empty() ? json() : user_of(options.user)},
            {"working_dir", options.working_dir.empty() ? json() : json(options.working_dir)}}},
          {"job_submission", {{"id", id}}},
          {"cluster_info", {{"job_ips", {""}}, {"master_job_ip", ""}, {"gpus_per_job", 0}, {"gpus_per_node", {0}}}},
          {"secrets", json::object()},
          {"unattended", options.detach}};
}

}  // namespace dstack::shim::client
