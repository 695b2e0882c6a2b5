#include "shim/client/run_requests.h"

#include <algorithm>
#include <format>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/error.h"
#include "common/os/user_db.h"
#include "common/text/number.h"
#include "common/text/utf8.h"
#include "shim/client/environment.h"
#include "shim/client/host_folder.h"
#include "shim/client/published_port.h"

namespace dstack::shim::client {

using nlohmann::json;

namespace {

// "1000:100" or "name:group".
json user_of(const std::string& text) {
  const auto id_of = [&text](const std::string& number) {
    const auto id = os::parse_user_id(number);
    if (!id) {
      throw Error(ErrorKind::invalid, std::format("--user {}: {} is not a user or group id (0 to {})", printable(text),
                                                  number, os::kLargestUserId));
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
    throw Error(ErrorKind::invalid, std::format("{} {}: not valid UTF-8", what, printable(value)));
  }
}

void require_sendable(const RunOptions& options, const std::string& name) {
  require_utf8("--image", options.image);
  require_utf8("--name", name);
  require_utf8("--workdir", options.working_dir);
  require_utf8("--user", options.user);
  require_utf8("--entrypoint", options.entrypoint.value_or(""));
  for (const std::string& argument : options.command) require_utf8("argument", argument);
}

// K=V of the files, then of the flags.
std::vector<std::string> environment_of(const RunOptions& options) {
  std::vector<std::string> all;
  for (const std::string& path : options.environment_files) {
    std::ranges::copy(read_environment_file(path), std::back_inserter(all));
  }
  std::ranges::copy(options.environment, std::back_inserter(all));
  return resolved(all);
}

json environment_object(const RunOptions& options) {
  json environment = json::object();
  for (const std::string& variable : environment_of(options)) {
    const std::size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    require_utf8("--env", name);
    if (!text::is_utf8(variable)) {
      throw Error(ErrorKind::invalid, std::format("--env {}: its value is not valid UTF-8", name));
    }
    environment[name] = variable.substr(equals + 1);
  }
  return environment;
}

// What the container of any run may have beyond a server's.
json container_of(const RunOptions& options) {
  json container = json::object();
  for (const std::string& volume : options.volumes) {
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the command line was checked
    const HostFolder folder = parse_host_folder(volume).value();
    if (!folder.read_only) continue;
    container["mounts"].push_back({{"source", folder.source}, {"target", folder.target}, {"read_only", true}});
  }
  for (const std::string& text : options.ports) {
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the command line was checked
    const PublishedPort port = parse_published_port(text).value();
    container["ports"].push_back({{"container", port.container}, {"host", port.host}, {"protocol", port.protocol}});
  }
  return container;
}

// The image's own program, with what replaces parts of it.
void make_plain(json& container, const RunOptions& options) {
  std::vector<std::string> entrypoint;
  std::vector<std::string> command = options.command;
  if (options.entrypoint && !options.entrypoint->empty()) {
    entrypoint.push_back(*options.entrypoint);
  } else if (options.entrypoint) {
    // An empty one takes the image's away.
    if (command.empty()) throw Error(ErrorKind::invalid, "--entrypoint \"\" needs a command");
    entrypoint.push_back(command.front());
    command.erase(command.begin());
  }
  container["process"] = "image";
  container["env"] = environment_object(options);
  container["entrypoint"] = entrypoint;
  container["command"] = command;
  if (!options.working_dir.empty()) container["working_dir"] = options.working_dir;
  container["stdin"] = options.input;
  container["tty"] = options.terminal;
}

}  // namespace

json task_of(const RunOptions& options, const std::string& id, const std::string& name, bool start_later) {
  require_sendable(options, name);
  json mounts = json::array();
  for (const std::string& volume : options.volumes) {
    require_utf8("--volume", volume);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the command line was checked
    const HostFolder folder = parse_host_folder(volume).value();
    // A folder that is missing is made, as docker does.
    if (!folder.read_only) mounts.push_back({{"instance_path", folder.source}, {"path", folder.target}});
  }
  json container = container_of(options);
  if (options.is_plain()) make_plain(container, options);
  if (start_later) container["start"] = "later";
  json task = {{"id", id},
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
  if (!container.empty()) task["container"] = std::move(container);
  if (options.is_plain() && !options.user.empty()) task["container_user"] = options.user;
  return task;
}

json job_of(const RunOptions& options, const std::string& id, const std::string& name) {
  require_sendable(options, name);
  return {{"run", {{"id", id}, {"run_spec", {{"run_name", name}, {"configuration", {{"type", "task"}}}}}}},
          {"job_spec",
           {{"replica_num", 0},
            {"job_num", 0},
            {"jobs_per_replica", 1},
            {"commands", options.command},
            {"env", environment_object(options)},
            {"repo_data", {{"repo_type", "virtual"}}},
            {"repo_dir", "/workflow"},  // required, and unused without code
            {"user", options.user.empty() ? json() : user_of(options.user)},
            {"working_dir", options.working_dir.empty() ? json() : json(options.working_dir)}}},
          {"job_submission", {{"id", id}}},
          {"cluster_info", {{"job_ips", {""}}, {"master_job_ip", ""}, {"gpus_per_job", 0}, {"gpus_per_node", {0}}}},
          {"secrets", json::object()},
          {"exit_with_job", true},
          {"unattended", options.detach}};
}

}  // namespace dstack::shim::client
