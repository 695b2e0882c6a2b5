#include "shim/ci/gitlab/job_response.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/os/file.h"
#include "common/text/split.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::ci::gitlab {

using dstack::json::ObjectReader;

namespace {

constexpr const char* kResponseFile = "JOB_RESPONSE_FILE";

std::string custom(const std::string& name, const Environment& environment, const std::string& otherwise = "") {
  return environment("CUSTOM_ENV_" + name).value_or(otherwise);
}

std::string first_of(const std::vector<std::string>& list) { return list.empty() ? "" : list.front(); }

// "a b,c"
std::vector<std::string> split_aliases(std::string text) {
  std::ranges::replace(text, ',', ' ');
  const auto words = text::split_words(text);
  return {words.begin(), words.end()};
}

// gitlab-runner has expanded names and aliases; one that has not is understood as well.
void read_image(const ObjectReader& image, const Environment& value_of, JobResponse& job) {
  job.image = expand(image.string("name"), value_of);
  job.pull_policy = first_of(image.strings("pull_policy"));
  image.object("executor_opts", [&job](const ObjectReader& options) {
    options.object("docker", [&job](const ObjectReader& docker) {
      job.user = docker.string("user");
      job.platform = docker.string("platform");
    });
  });
}

ServiceRequest read_service(const ObjectReader& reader, const Environment& value_of) {
  ServiceRequest service{.image = expand(reader.string("name"), value_of),
                         .aliases = split_aliases(expand(reader.string("alias"), value_of)),
                         .entrypoint = reader.strings("entrypoint"),
                         .command = reader.strings("command"),
                         .pull_policy = first_of(reader.strings("pull_policy"))};
  if (service.image.empty()) throw Error(ErrorKind::invalid, reader.path_of("name") + ": empty");
  reader.objects("variables", [&](const ObjectReader& variable) {
    service.variables[variable.string("key")] = expand(variable.string("value"), value_of);
  });
  service.variables.erase("");
  return service;
}

}  // namespace

std::string expand(std::string_view text, const Environment& value_of) {
  const auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::string expanded;
  while (!text.empty()) {
    const std::size_t dollar = std::min(text.find('$'), text.size());
    expanded += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.empty()) break;
    const bool braces = text.size() > 1 && text[1] == '{';
    const std::size_t begin = braces ? 2 : 1;
    std::size_t end = begin;
    while (end < text.size() && is_name(text[end])) ++end;
    const bool whole = end > begin && (!braces || (end < text.size() && text[end] == '}'));
    if (whole) {
      expanded += value_of(std::string(text.substr(begin, end - begin))).value_or("");
      text.remove_prefix(end + (braces ? 1 : 0));
    } else {
      expanded += '$';
      text.remove_prefix(text.starts_with("$$") ? 2 : 1);
    }
  }
  return expanded;
}

JobResponse parse_job_response(const std::string& text, const Environment& environment) {
  const nlohmann::json object = dstack::json::parse_object(text);
  const ObjectReader reader(object);
  JobResponse job;
  job.id = std::to_string(reader.integer("id", 0, 0));
  if (job.id == "0") throw Error(ErrorKind::invalid, "id: missing");
  reader.object("job_info", [&job](const ObjectReader& info) {
    if (const auto project = info.optional_integer("project_id")) job.project = std::to_string(*project);
  });
  std::map<std::string, std::string> values;
  reader.objects("variables", [&](const ObjectReader& variable) {
    const std::string key = variable.string("key");
    const std::string value = custom(key, environment, variable.string("value"));
    values[key] = value;
    job.public_variables.erase(key);
    if (!key.empty() && !key.contains('=') && variable.boolean("public") && !variable.boolean("file"))
      job.public_variables[key] = value;
  });
  const auto value_of = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? environment("CUSTOM_ENV_" + name) : std::optional(found->second);
  };
  reader.object("image", [&](const ObjectReader& image) { read_image(image, value_of, job); });
  reader.objects("services",
                 [&](const ObjectReader& service) { job.services.push_back(read_service(service, value_of)); });
  reader.objects("credentials", [&job](const ObjectReader& login) {
    if (login.string("type") != "registry") return;
    job.logins.push_back({.registry = login.string("url"),
                          .username = login.string("username"),
                          .password = Secret(login.string("password"))});
  });
  const auto more = parse_docker_config(value_of("DOCKER_AUTH_CONFIG").value_or(""));
  job.logins.insert(job.logins.end(), more.begin(), more.end());
  job.pipeline = value_of("CI_PIPELINE_ID").value_or("");
  job.server = value_of("CI_SERVER_URL").value_or("");
  if (job.project.empty()) job.project = value_of("CI_PROJECT_ID").value_or("");
  return job;
}

JobResponse read_job_response(const Environment& environment) {
  const auto file = environment(kResponseFile);
  if (!file || file->empty())
    throw Error(ErrorKind::invalid, std::format("{} is not set: is this called by gitlab-runner?", kResponseFile));
  try {
    return parse_job_response(os::read_file(*file), environment);
  } catch (const std::exception& error) {
    throw Error(ErrorKind::invalid, std::format("read the job from {}: {}", printable(*file), error.what()));
  }
}

std::vector<std::string> service_names(const ServiceRequest& service) {
  std::vector<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (!name.empty() && !std::ranges::contains(names, name)) names.push_back(name);
  };
  for (const std::string& alias : service.aliases) add(alias);
  std::string path = docker::parse_image_reference(service.image).repository;
  const std::size_t slash = path.find('/');
  if (const std::size_t port = path.find(':'); slash != std::string::npos && port < slash)
    path.erase(port, slash - port);
  for (const std::string_view between : {"-", "__"}) {
    std::string name;
    for (const char c : path) name += c == '/' ? between : std::string_view(&c, 1);
    add(name);
  }
  return names;
}

}  // namespace dstack::shim::ci::gitlab
