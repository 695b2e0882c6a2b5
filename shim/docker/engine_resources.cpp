#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;
using Resource = EngineClient::Resource;

const char* word_of(Resource kind) { return kind == Resource::network ? "network" : "volume"; }

std::string path_of(Resource kind) { return std::format("/{}s", word_of(kind)); }

std::string attempt_to(const char* what, Resource kind, std::string_view name) {
  return std::format("{} {} {}", what, word_of(kind), printable(name));
}

std::string filtered(Resource kind, const char* filter, const std::string& value) {
  const json filters{{filter, json::array({value})}};
  return std::format("{}?filters={}", path_of(kind), http::encode_url_component(dstack::json::dump(filters)));
}

// A list of networks is one; volumes are in an object.
std::vector<EngineResource> parse_all(Resource kind, const json& answer) {
  if (kind == Resource::network) return parse_resources(answer);
  return answer.is_object() && answer.contains("Volumes") ? parse_resources(answer["Volumes"])
                                                          : std::vector<EngineResource>{};
}

}  // namespace

std::optional<EngineResource> EngineClient::find(Resource kind, const std::string& name, const Call& call) {
  // The filter takes parts of names too, and asking for one network takes the beginnings of ids.
  const std::string attempt = attempt_to("look for", kind, name);
  const auto response = send(attempt, {.path = filtered(kind, "name", name)}, call, kQuickCall);
  const auto all = parse_all(kind, parse_answer(attempt, response.body));
  const auto found = std::ranges::find(all, name, &EngineResource::name);
  return found == all.end() ? std::nullopt : std::optional(*found);
}

EngineResource EngineClient::create(Resource kind, const std::string& name,
                                    const std::map<std::string, std::string>& labels, const Call& call) {
  const std::string attempt = attempt_to("create", kind, name);
  json body{{"Name", name}, {"Labels", labels}};
  if (kind == Resource::network) {
    body["Driver"] = "bridge";
    body["CheckDuplicate"] = true;  // engines before 25 make a second one of the same name otherwise
  }
  const auto response =
      send(attempt, {.method = "POST", .path = path_of(kind) + "/create", .body = dstack::json::dump(body)}, call,
           kQuickCall);
  EngineResource made = parse_resource(parse_answer(attempt, response.body));
  // Of a network the engine says just the id.
  if (kind == Resource::network) {
    made.name = name;
    made.labels.insert(labels.begin(), labels.end());
  }
  return made;
}

void EngineClient::remove(Resource kind, const std::string& id, const Call& call) {
  const std::string attempt = attempt_to("remove", kind, id);
  try {
    send(attempt, {.method = "DELETE", .path = path_of(kind) + "/" + http::encode_url_component(id)}, call, kQuickCall,
         {404});
  } catch (const std::exception& error) {
    // A network in use is "forbidden".
    if (error_kind(error) == ErrorKind::invalid) throw Error(ErrorKind::conflict, error.what());
    throw;
  }
}

std::vector<EngineResource> EngineClient::list(Resource kind, const std::string& label, const Call& call) {
  const std::string attempt = std::format("list the {}s", word_of(kind));
  const auto response = send(attempt, {.path = filtered(kind, "label", label)}, call, kQuickCall);
  return parse_all(kind, parse_answer(attempt, response.body));
}

}  // namespace dstack::shim::docker
