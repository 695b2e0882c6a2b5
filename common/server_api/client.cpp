#include "common/server_api/client.h"

#include <algorithm>
#include <format>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/client.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/server_api/answer.h"
#include "common/server_api/parse.h"

namespace dstack::server_api {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kConnectLimit = 10s;
constexpr std::chrono::milliseconds kCallLimit = 60s;
constexpr std::chrono::milliseconds kFirstPause = 500ms;  // while the server is busy; doubled each time
constexpr std::chrono::milliseconds kBusyLimit = 30s;     // in all
constexpr std::size_t kFleetPage = 100;                   // the server's default
constexpr int kEventPage = 100;

bool is_busy(const Failure& failure) {
  return failure.http_status() == 400 &&
         std::string_view(failure.what()).contains("being processed currently. Try again later.");
}

bool concerns_project(std::string_view path) { return path.starts_with("project/") || path.starts_with("projects/"); }

std::string project_path(const Account& account) {
  return std::format("projects/{}/get", http::encode_url_component(account.project));
}

// The client's message says what was called, too.
std::string reason_of(const Error& error, std::string_view path, std::string_view url) {
  const std::string_view message = error.what();
  const std::string prefix = std::format("POST {} at {}: ", path, url);
  return std::string(message.starts_with(prefix) ? message.substr(prefix.size()) : message);
}

// A server's message may quote what it was sent.
std::string without(std::string text, const std::vector<Secret>& secrets) {
  for (const Secret& secret : secrets) {
    if (secret.empty()) continue;
    for (std::size_t at = text.find(secret.reveal()); at != std::string::npos; at = text.find(secret.reveal(), at)) {
      text.replace(at, secret.reveal().size(), "[hidden]");
    }
  }
  return text;
}

}  // namespace

Client::Client(Account account, os::Clock& clock, std::stop_token stop)
    : account_(std::move(account)),
      hidden_{account_.token},
      clock_(clock),
      stop_(std::move(stop)),
      http_(std::make_unique<http::Client>(http::Endpoint{.base_url = account_.url}, clock)) {}

Client::~Client() = default;

json Client::call(const std::string& path, const json& body, std::string_view doing) {
  const std::string text = dstack::json::dump(body);
  std::chrono::milliseconds pause = kFirstPause;
  std::chrono::milliseconds waited{0};
  while (true) {
    try {
      return ask(path, text, doing);
    } catch (const Failure& failure) {
      if (!is_busy(failure) || waited >= kBusyLimit) throw;
      if (!os::pause(clock_, pause, stop_)) throw Error(ErrorKind::cancelled, std::format("{}: cancelled", doing));
      waited += pause;
      pause = std::min(pause * 2, kBusyLimit - waited);
    }
  }
}

json Client::call_project(const std::string& path, const json& body, std::string_view doing) {
  return call(std::format("project/{}/{}", http::encode_url_component(account_.project), path), body, doing);
}

http::ClientResponse Client::exchange(const std::string& path, const std::string& body) {
  const http::ClientRequest request{
      .method = "POST",
      .path = "/api/" + path,
      .body = body,
      .headers = {"Authorization: Bearer " + account_.token.reveal(), "Content-Type: application/json"},
      .connect_limit = kConnectLimit,
      .total_limit = kCallLimit};
  try {
    return http_->send(request, stop_);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::cancelled) throw;
    throw Failure(FailureKind::unreachable,
                  std::format("cannot reach {}: {}", account_.url, reason_of(error, request.path, account_.url)));
  }
}

json Client::ask(const std::string& path, const std::string& body, std::string_view doing) {
  const http::ClientResponse answer = exchange(path, body);
  if (answer.status < 200 || answer.status >= 300) refuse(path, answer.status, answer.body, doing);
  if (answer.body.empty()) return {};
  json parsed = json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded()) {
    throw Failure(FailureKind::unknown_server,
                  std::format("{} answers as no server known to this version does: an answer to {} that is not JSON",
                              account_.url, path),
                  answer.status);
  }
  return parsed;
}

void Client::refuse(const std::string& path, int status, const std::string& body, std::string_view doing) {
  const ServerError error = read_error(body);
  const std::string& url = account_.url;
  if (status >= 500) {
    throw Failure(FailureKind::unreachable, std::format("{} failed ({}) while trying to {}", url, status, doing),
                  status);
  }
  if (status >= 300 && status < 400) {
    throw Failure(FailureKind::unreachable,
                  std::format("cannot reach {}: it answers with a redirect ({}), which is not followed with a token",
                              url, status),
                  status);
  }
  if (status == 401 || (status == 403 && error.message == "Invalid token")) {
    throw Failure(FailureKind::invalid_token, std::format("the token is not valid at {}", url), status);
  }
  if (status == 403 && error.message == "Access denied") {
    throw Failure(FailureKind::forbidden, path == "users/get_my_user" ? error.message : explain_denial(doing), status);
  }
  if (status == 404 && concerns_project(path)) {
    throw Failure(FailureKind::no_project, std::format("there is no project {} at {}", account_.project, url), status);
  }
  if (status == 404) {
    throw Failure(FailureKind::unknown_server,
                  std::format("{} answers as no server known to this version does: it has no {}", url, path), status);
  }
  const std::string message = error.message.empty() ? std::format("{} refused to {} ({})", url, doing, status)
                                                    : without(error.message, hidden_);
  throw Failure(FailureKind::refused, message, status, error.code);
}

std::string Client::explain_denial(std::string_view doing) {
  std::string who = "the token's user";
  std::string others;
  try {
    // Not by ask(): what is denied here as well is not to be explained in its turn.
    who = parse_my_user(json::parse(exchange("users/get_my_user", "{}").body)).user.name;
    const http::ClientResponse answer = exchange(project_path(account_), "{}");
    const Project project = answer.status == 403 ? Project() : parse_project(json::parse(answer.body));
    if (!project.has_member(who)) {
      others = std::format(": {} is no member of project {}", who, account_.project);
    } else {
      std::string admins;
      for (const Member& member : project.members) {
        if (member.role == "admin" && member.user.name != who)
          admins += (admins.empty() ? "" : ", ") + member.user.name;
      }
      if (!admins.empty()) others = std::format("; its admins may: {}", admins);
    }
  } catch (const std::exception&) {  // the refusal is explained by what is known
  }
  return std::format("{} may not {} in project {}{}", who, doing, account_.project, others);
}

namespace {

template <typename Parse>
auto parsed(const Account& account, const json& answer, Parse parse) {
  try {
    return parse(answer);
  } catch (const Failure&) {
    throw;
  } catch (const Error& error) {
    throw Failure(FailureKind::unknown_server,
                  std::format("{} answers as no server known to this version does: {}", account.url, error.what()));
  }
}

}  // namespace

std::string Client::version() {
  return dstack::json::text_member(call("server/get_info", json::object(), "ask for its version"), "server_version");
}

MyUser Client::my_user() {
  return parsed(account_, call("users/get_my_user", json::object(), "look up the token's user"), parse_my_user);
}

Project Client::project() {
  return parsed(account_, call(project_path(account_), json::object(), "read the members and backends"), parse_project);
}

std::string Client::check_membership(const Project& project) {
  const User user = my_user().user;
  if (project.has_member(user.name) || user.is_global_admin()) return user.name;
  throw Failure(FailureKind::not_member, std::format("{} is no member of project {}", user.name, account_.project));
}

std::vector<Fleet> Client::fleets() {
  return parsed(account_, call_project("fleets/list", json::object(), "list the fleets"), parse_fleets);
}

std::vector<Fleet> Client::fleets_of_all_projects() {
  std::vector<Fleet> all;
  json body = json::object();
  while (true) {
    auto page = parsed(account_, call("fleets/list", body, "list the fleets of all projects"), parse_fleets);
    const bool last = page.size() < kFleetPage;
    if (!page.empty()) {
      body["prev_created_at"] = page.back().created;
      body["prev_id"] = page.back().id;
    }
    std::ranges::move(page, std::back_inserter(all));
    if (last) return all;
  }
}

std::optional<Fleet> Client::fleet(const std::string& name) {
  try {
    return parsed(account_, call_project("fleets/get", {{"name", name}}, "look at fleet " + name), parse_fleet);
  } catch (const Failure& failure) {
    if (failure.is("resource_not_exists")) return std::nullopt;
    throw;
  }
}

void Client::apply_fleet(const json& spec, bool force) {
  call_project("fleets/apply", {{"plan", {{"spec", spec}}}, {"force", force}}, "make fleets");
}

void Client::delete_fleet(const std::string& name) {
  call_project("fleets/delete", {{"names", json::array({name})}}, "delete fleet " + name);
}

FleetPlan Client::plan_fleet(const json& spec) {
  return parsed(account_, call_project("fleets/get_plan", {{"spec", spec}}, "look up offers"), parse_fleet_plan);
}

bool Client::delete_instance(const std::string& fleet, std::int64_t number) {
  try {
    call_project("fleets/delete_instances", {{"name", fleet}, {"instance_nums", json::array({number})}},
                 "delete an instance of fleet " + fleet);
    return true;
  } catch (const Failure& failure) {
    const std::string_view message = failure.what();
    const bool in_use = message.contains("in use") || message.contains("while the job is provisioning");
    if (failure.http_status() == 400 && in_use) return false;
    throw;
  }
}

std::optional<json> Client::backend_settings(const std::string& type) {
  try {
    return call_project(std::format("backends/{}/config_info", http::encode_url_component(type)), json::object(),
                        "see the settings of backends");
  } catch (const Failure& failure) {
    if (failure.is("resource_not_exists")) return std::nullopt;
    throw;
  }
}

void Client::create_backend(const json& settings) { call_project("backends/create", settings, "configure backends"); }

void Client::update_backend(const json& settings) { call_project("backends/update", settings, "configure backends"); }

void Client::delete_backend(const std::string& type) {
  call_project("backends/delete", {{"backends_names", json::array({type})}}, "remove backends");
}

std::vector<Event> Client::events(const std::vector<std::string>& instance_ids, const std::optional<Event>& before) {
  json body = {{"target_instances", instance_ids}, {"limit", kEventPage}};
  if (before) {
    body["prev_recorded_at"] = before->recorded_at;
    body["prev_id"] = before->id;
  }
  return parsed(account_, call("events/list", body, "list events"), parse_events);
}

std::vector<Run> Client::active_runs() {
  const json body = {{"project_name", account_.project}, {"only_active", true}};
  return parsed(account_, call("runs/list", body, "list the runs"), parse_runs);
}

void Client::stop_runs(const std::vector<std::string>& names, bool abort) {
  call_project("runs/stop", {{"runs_names", names}, {"abort", abort}}, "stop runs");
}

}  // namespace dstack::server_api
