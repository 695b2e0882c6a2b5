#include "shim/ci/gitlab/gitlab.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "shim/ci/lost_answer.h"

namespace dstack::shim::ci::gitlab {

using nlohmann::json;
using Lost = Requests::Lost;

namespace {

constexpr int kPageSize = 100;
constexpr int kMostPages = 1000;

json parse(const http::ClientResponse& answer, std::string_view doing, const std::string& base_url) {
  json parsed = json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded())
    throw CiFailure(answer.status, std::format("{} at {}: the answer is not JSON", doing, base_url));
  return parsed;
}

std::string runner_id_in(const json& object) {
  const json& id = dstack::json::member(object, "id");
  return id.is_number_integer() ? std::to_string(id.get<std::int64_t>()) : std::string();
}

std::string runner_path(const std::string& id) { return "/runners/" + http::encode_url_component(id); }

}  // namespace

GitLab::GitLab(const std::string& base_url, std::string path, const Secret& token, os::Clock& clock)
    : requests_(base_url + "/api/v4", "PRIVATE-TOKEN: " + token.reveal(), token, clock),
      unauthorized_(base_url + "/api/v4", "", token, clock),
      path_(std::move(path)),
      clock_(clock) {}

void GitLab::refuse(const http::ClientResponse& answer, std::string_view doing) const {
  throw CiFailure(answer.status,
                  std::format("GitLab refused to {} ({}): {}", doing, requests_.base_url(), requests_.quote(answer)));
}

std::string GitLab::scope_path() const {
  return (scope_.kind == Scope::Kind::project ? "/projects/" : "/groups/") + scope_.id;
}

bool GitLab::find_scope(Scope::Kind kind, const Patience& patience, std::string& refusal) {
  const std::string_view folder = kind == Scope::Kind::project ? "/projects/" : "/groups/";
  const std::string doing = std::format("show {} {}", kind == Scope::Kind::project ? "project" : "group", path_);
  const auto answer =
      requests_.ask("GET", std::format("{}{}", folder, http::encode_url_component(path_)), "", patience);
  if (answer.status == 404) {
    refusal = requests_.quote(answer);
    return false;
  }
  if (answer.status != 200) refuse(answer, doing);
  scope_ = {.kind = kind, .id = runner_id_in(parse(answer, doing, requests_.base_url()))};
  if (scope_.id.empty())
    throw CiFailure(200, std::format("{} at {}: the answer has no id", doing, requests_.base_url()));
  return true;
}

void GitLab::check(const Patience& patience) {
  std::string refusal;
  if (find_scope(Scope::Kind::project, patience, refusal)) return;
  if (find_scope(Scope::Kind::group, patience, refusal)) return;
  throw CiFailure(404, std::format("{} is neither a project nor a group that the token may see ({}): {}", path_,
                                   requests_.base_url(), refusal));
}

std::vector<ListedRunner> GitLab::runners(const Patience& patience) {
  std::vector<ListedRunner> runners;
  std::string page = "1";
  for (int count = 0; !page.empty() && count < kMostPages; ++count) {
    const auto answer = requests_.ask(
        "GET", std::format("{}/runners?per_page={}&page={}", scope_path(), kPageSize, page), "", patience);
    if (answer.status != 200) refuse(answer, "list the runners");
    const json list = parse(answer, "list the runners", requests_.base_url());
    for (const json& runner : list.is_array() ? list : json::array()) {
      runners.push_back({.id = runner_id_in(runner),
                         .name = dstack::json::text_member(runner, "description"),
                         .online = dstack::json::text_member(runner, "status") == "online",
                         .paused = dstack::json::true_member(runner, "paused")});
    }
    const auto next = answer.headers.find("x-next-page");
    page = next != answer.headers.end() && text::is_digits(next->second) ? next->second : "";
  }
  return runners;
}

bool GitLab::has_labels(const ListedRunner& runner, const std::vector<std::string>& labels, const Patience& patience) {
  const auto answer = requests_.ask("GET", runner_path(runner.id), "", patience);
  if (answer.status == 404 || answer.status == 403) return false;  // gone meanwhile, or another owner's
  if (answer.status != 200) refuse(answer, "show runner " + runner.id);
  std::vector<std::string> tags;
  const json shown = parse(answer, "show a runner", requests_.base_url());
  for (const json& tag : dstack::json::member(shown, "tag_list"))
    if (tag.is_string()) tags.push_back(text::lower_case(tag.get<std::string>()));
  return std::ranges::all_of(
      labels, [&tags](const std::string& label) { return std::ranges::contains(tags, text::lower_case(label)); });
}

bool GitLab::is_busy(const std::string& runner, const Patience& patience) {
  const auto answer = requests_.ask("GET", runner_path(runner) + "/jobs?status=running", "", patience);
  if (answer.status == 404) return false;
  if (answer.status != 200) refuse(answer, std::format("list the jobs of runner {}", runner));
  const json jobs = parse(answer, "list the jobs of a runner", requests_.base_url());
  return jobs.is_array() && !jobs.empty();
}

Registration GitLab::register_once(const std::string& name, const std::vector<std::string>& labels,
                                   const Patience& patience) {
  json body = {{"description", name},
               {"tag_list", labels},
               {"run_untagged", true},
               {"locked", true},
               {"access_level", "not_protected"}};
  const bool is_project = scope_.kind == Scope::Kind::project;
  body["runner_type"] = is_project ? "project_type" : "group_type";
  body[is_project ? "project_id" : "group_id"] = text::parse_number<std::int64_t>(scope_.id).value_or(0);
  const auto answer = requests_.ask("POST", "/user/runners", dstack::json::dump(body), patience, Lost::report);
  if (answer.status != 201) refuse(answer, "register runner " + name);
  const json made = parse(answer, "register a runner", requests_.base_url());
  Registration registration{
      .id = runner_id_in(made), .name = name, .token = Secret(dstack::json::text_member(made, "token"))};
  if (registration.id.empty() || registration.token.empty())
    throw CiFailure(answer.status, std::format("register runner {} at {}: the answer has no id or no token", name,
                                               requests_.base_url()));
  return registration;
}

void GitLab::remove_named(const std::string& name, const Patience& patience) {
  for (const ListedRunner& runner : runners(patience)) {
    if (runner.name == name) remove(runner.id, {}, patience);
  }
}

Registration GitLab::add(const std::string& name, const std::vector<std::string>& labels, const Patience& patience) {
  return add_until_answered(
      clock_, patience, [&] { return register_once(name, labels, patience); },
      [&](const Patience& left) { remove_named(name, left); });
}

bool GitLab::is_listed(const std::string& runner, const Patience& patience) {
  const auto answer = requests_.ask("GET", runner_path(runner), "", patience);
  if (answer.status == 404) return false;
  if (answer.status != 200) refuse(answer, std::format("show runner {}", runner));
  return true;
}

Removal GitLab::withdraw(const std::string& runner, const Patience& patience) {
  const auto answer = requests_.ask("PUT", runner_path(runner), R"({"paused":true})", patience);
  if (answer.status != 200 && answer.status != 404) refuse(answer, std::format("pause runner {}", runner));
  return Removal::removed;
}

Removal GitLab::remove(const std::string& runner, const Secret& own, const Patience& patience) {
  const auto answer = requests_.ask("DELETE", runner_path(runner), "", patience);
  if (answer.status == 204 || answer.status == 404) return Removal::removed;
  if (answer.status == 401 && !own.empty()) {
    const std::string body = dstack::json::dump({{"token", own.reveal()}});
    // A token that is not known any more is one of a runner that is gone.
    const auto second = unauthorized_.ask("DELETE", "/runners", body, patience);
    if (second.status == 204 || second.status == 403 || second.status == 404) return Removal::removed_by_own_token;
  }
  refuse(answer, std::format("delete runner {}", runner));
}

RerunAnswer GitLab::rerun(const CiJob& job, const Patience& patience) {
  const std::string project = !job.project.empty() || scope_.kind != Scope::Kind::project ? job.project : scope_.id;
  if (project.empty())
    throw CiFailure(404, std::format("the project of job {} is unknown: it is not run again", job.id));
  const auto answer = requests_.ask("POST",
                                    std::format("/projects/{}/jobs/{}/retry", http::encode_url_component(project),
                                                http::encode_url_component(job.id)),
                                    "", patience, Lost::report);
  if (answer.status == 201) return {.rerun = Rerun::started};
  if (answer.status == 403) return {.rerun = Rerun::too_early, .refusal = requests_.quote(answer)};
  refuse(answer, std::format("run job {} again", job.id));
}

}  // namespace dstack::shim::ci::gitlab
