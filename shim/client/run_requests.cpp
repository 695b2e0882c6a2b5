#include "shim/client/run_requests.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/user_db.h"
#include "common/text/number.h"
#include "common/text/utf8.h"
#include "shim/client/environment.h"

namespace dstack::shim::client {

using nlohmann::json;

namespace {

// "1000:100" or "name:group".
json user_of(const std::string& text) {
  const auto id_of = [&text](const std::string& number) {
    const auto id = os::parse_user_id(number);
    if (!id) {
      throw Error(ErrorKind::invalid, std::format("--user {}: {} is not a user or group id (0 to {})", printable(text),
                                                  number, os::largest_user_id));
    }
    return *id;
  };
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  json object = json::object();
  if (text::is_digits(user)) {
    object["uid"] = id_of(user);
  } else {
    object["username"] = user;
  }
  if (text::is_digits(group)) {
    object["gid"] = id_of(group);
  } else if (!group.empty()) {
    object["groupname"] = group;
  }
  return object;
}

// JSON is UTF-8, and an argument that is changed on its way is another one.
void require_utf8(const char* what, const std::string& value) {
  if (!text::is_utf8(value)) {
    throw Error(ErrorKind::invalid,
                std::format("{} {}: not valid UTF-8, so it cannot be sent", what, printable(value)));
  }
}

}  // namespace

json task_of(const RunOptions& options, const std::string& id, const std::string& name) {
  require_utf8("--image", options.image);
  require_utf8("--name", name);
  json mounts = json::array();
  for (const std::string& volume : options.volumes) {
    require_utf8("--volume", volume);
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
  for (const std::string& argument : options.command) require_utf8("argument", argument);
  require_utf8("--workdir", options.working_dir);
  require_utf8("--user", options.user);
  json environment = json::object();
  for (const std::string& variable : resolved(options.environment)) {
    require_utf8("--env", variable.substr(0, variable.find('=')));
    if (!text::is_utf8(variable)) {
      throw Error(ErrorKind::invalid, std::format("--env {}: its value is not valid UTF-8, so it cannot be sent",
                                                  variable.substr(0, variable.find('='))));
    }
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
