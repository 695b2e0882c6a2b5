#include "shim/ci/github/hook_request.h"

#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/text/shell_words.h"

namespace dstack::shim::ci::github {

using dstack::json::ObjectReader;
using dstack::json::refuse;
using nlohmann::json;

namespace {

constexpr std::array<std::pair<std::string_view, HookCommand>, 4> kCommands{
    {{"prepare_job", HookCommand::prepare_job},
     {"run_script_step", HookCommand::run_script_step},
     {"run_container_step", HookCommand::run_container_step},
     {"cleanup_job", HookCommand::cleanup_job}}};

// In lists and maps too.
void remove_nulls(json& value) {
  if (!value.is_structured()) return;
  for (auto item = value.begin(); item != value.end();) {
    if (item->is_null()) {
      item = value.erase(item);
    } else {
      remove_nulls(*item);
      ++item;
    }
  }
}

HookCommand read_command(const ObjectReader& reader) {
  const std::string name = reader.string("command");
  std::string known;
  for (const auto& [command, value] : kCommands) {
    if (command == name) return value;
    known += std::format("{}{}", known.empty() ? "" : ", ", command);
  }
  refuse("command", std::format("{} is not one of {}", printable(name), known));
}

// The agent has split them at every blank and kept the quotes.
std::vector<std::string> read_arguments(const ObjectReader& reader) {
  constexpr const char* kField = "entryPointArgs";
  std::string line;
  for (const std::string& piece : reader.strings(kField)) line += (line.empty() ? "" : " ") + piece;
  auto words = text::split_shell_words(line);
  if (!words) refuse(reader.path_of(kField), "a quote is not closed");
  return *std::move(words);
}

std::vector<MountRequest> read_mounts(const ObjectReader& reader, const char* field) {
  std::vector<MountRequest> mounts;
  reader.objects(field, [&mounts](const ObjectReader& mount) {
    mounts.push_back({.source = mount.string("sourceVolumePath"),
                      .target = mount.string("targetVolumePath"),
                      .read_only = mount.boolean("readOnly")});
    if (!mounts.back().target.starts_with('/'))
      refuse(mount.path_of("targetVolumePath"), printable(mounts.back().target) + " is not an absolute path");
  });
  return mounts;
}

std::vector<client::PublishedPort> read_ports(const ObjectReader& reader) {
  std::vector<client::PublishedPort> ports;
  for (const std::string& text : reader.strings("portMappings")) {
    const auto port = client::parse_published_port(text);
    if (!port) refuse(reader.path_of("portMappings"), printable(text) + " is not of the form 8080:80, 80 or 53:53/udp");
    ports.push_back(*port);
  }
  return ports;
}

HookContainer read_container(const ObjectReader& reader) {
  HookContainer container{.image = reader.string("image"),
                          .dockerfile = reader.string("dockerfile"),
                          .entrypoint = reader.string("entryPoint"),
                          .arguments = read_arguments(reader),
                          .working_dir = reader.string("workingDirectory"),
                          .create_options = reader.string("createOptions"),
                          .login = std::nullopt,
                          .environment = reader.string_map("environmentVariables"),
                          .ports = read_ports(reader),
                          .system_mounts = read_mounts(reader, "systemMountVolumes"),
                          .user_mounts = read_mounts(reader, "userMountVolumes"),
                          .context_name = reader.string("contextName")};
  reader.object("registry", [&container](const ObjectReader& registry) {
    if (registry.string("username").empty()) return;
    container.login = RegistryLogin{.registry = registry.string("serverUrl"),
                                    .username = registry.string("username"),
                                    .password = Secret(registry.string("password"))};
  });
  return container;
}

void require_image(const HookContainer& container, const std::string& field) {
  if (container.image.empty()) refuse(field, "no image is named");
}

void read_job(const ObjectReader& args, HookRequest& request) {
  args.object("container",
              [&request](const ObjectReader& container) { request.container = read_container(container); });
  if (request.container) require_image(*request.container, args.path_of("container"));
  args.objects("services", [&request](const ObjectReader& service) {
    request.services.push_back(read_container(service));
    require_image(request.services.back(), service.path_of("image"));
  });
}

ScriptStep read_step(const ObjectReader& args) {
  ScriptStep step{.entrypoint = args.string("entryPoint"),
                  .arguments = read_arguments(args),
                  .environment = args.string_map("environmentVariables"),
                  .prepend_path = args.strings("prependPath"),
                  .working_dir = args.string("workingDirectory")};
  if (step.entrypoint.empty()) refuse(args.path_of("entryPoint"), "is missing");
  return step;
}

void read_state(const json& object, HookRequest& request) {
  const auto state = object.find("state");
  if (state == object.end()) return;
  if (!state->is_object()) refuse("state", "is not an object");
  request.has_state = !state->empty();
  if (state->contains("job") && state->at("job").is_string()) request.state_job = state->at("job").get<std::string>();
}

}  // namespace

HookRequest parse_hook_request(std::string_view text) {
  json object = dstack::json::parse_object(text);
  remove_nulls(object);
  const ObjectReader reader(object);
  HookRequest request{.command = read_command(reader), .response_file = reader.string("responseFile")};
  read_state(object, request);
  const json none = json::object();
  const auto given = object.find("args");
  const ObjectReader args(given == object.end() ? none : *given, "args");
  if (given != object.end() && !given->is_object()) refuse("args", "is not an object");
  switch (request.command) {
    case HookCommand::prepare_job: read_job(args, request); break;
    case HookCommand::run_script_step: request.step = read_step(args); break;
    case HookCommand::run_container_step:
      request.container = read_container(args);
      if (request.container->dockerfile.empty()) require_image(*request.container, args.path_of("image"));
      break;
    case HookCommand::cleanup_job: break;
  }
  return request;
}

}  // namespace dstack::shim::ci::github
