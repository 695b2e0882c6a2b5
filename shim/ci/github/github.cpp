#include "shim/ci/github/github.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/url.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "shim/ci/lost_answer.h"

namespace dstack::shim::ci::github {

using nlohmann::json;
using Lost = Requests::Lost;

namespace {

constexpr int kPageSize = 100;
constexpr int kMostPages = 1000;
constexpr int kDefaultRunnerGroup = 1;

#if defined(__aarch64__)
constexpr const char* kArchitecture = "arm64";
constexpr const char* kArchitectureLabel = "ARM64";
#else
constexpr const char* kArchitecture = "x64";
constexpr const char* kArchitectureLabel = "X64";
#endif

// An id, which is a number.
std::string id_in(const json& object, std::string_view name) {
  const json& id = dstack::json::member(object, name);
  return id.is_number_integer() ? std::to_string(id.get<std::int64_t>()) : std::string();
}

std::int64_t number_in(const json& object, std::string_view name) {
  const json& number = dstack::json::member(object, name);
  return number.is_number_integer() ? number.get<std::int64_t>() : 0;
}

// "owner/repository" as part of a path of the API; empty if it is something else.
std::string repository_path(std::string_view repository) {
  const std::size_t slash = repository.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == repository.size()) return {};
  if (repository.find('/', slash + 1) != std::string_view::npos) return {};
  return std::format("/repos/{}/{}", http::encode_url_component(repository.substr(0, slash)),
                     http::encode_url_component(repository.substr(slash + 1)));
}

std::string runners_path_of(const std::string& path) {
  std::string scope = repository_path(path);
  if (scope.empty() && !path.contains('/')) scope = "/orgs/" + http::encode_url_component(path);
  return scope.empty() ? scope : scope + "/actions/runners";
}

bool is_file_name(const std::string& name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return name.ends_with(".tar.gz") && !name.starts_with('.') && name.find_first_not_of(kLetters) == std::string::npos;
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

AgentRelease parse_agent_release(const std::string& text) {
  const json offer = json::parse(text, nullptr, false);
  AgentRelease release{.file_name = dstack::json::text_member(offer, "file_name"),
                       .url = dstack::json::text_member(offer, "url"),
                       .sha256 = dstack::json::text_member(offer, "sha256")};
  if (!is_file_name(release.file_name) || !is_sha256(release.sha256))
    throw Error(ErrorKind::invalid, "there is no agent to download: give one with --agent");
  return release;
}

std::string api_url(const std::string& base_url) {
  const auto url = http::parse_url(base_url);
  if (!url) throw Error(ErrorKind::invalid, std::format("{} is not the URL of a GitHub", base_url));
  if (url->host == "github.com" || url->host.ends_with(".ghe.com")) return "https://api." + url->host;
  return base_url + "/api/v3";
}

std::string next_page(std::string_view link) {
  while (!link.empty()) {
    const std::size_t begin = link.find('<');
    const std::size_t end = link.find('>');
    if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
    const std::string_view url = link.substr(begin + 1, end - begin - 1);
    link.remove_prefix(end + 1);
    const std::string_view parameters = link.substr(0, link.find('<'));
    link.remove_prefix(parameters.size());
    if (!parameters.contains("rel=\"next\"") && !parameters.contains("rel=next")) continue;
    const std::size_t query = url.find('?');
    return query == std::string_view::npos ? std::string() : std::string(url.substr(query + 1));
  }
  return {};
}

std::vector<std::string> all_labels(const std::vector<std::string>& labels) {
  std::vector<std::string> all{"self-hosted", "Linux", kArchitectureLabel};
  for (const std::string& label : labels) {
    const auto is_same = [&label](const std::string& other) { return text::equal_ignoring_case(label, other); };
    if (std::ranges::none_of(all, is_same)) all.push_back(label);
  }
  return all;
}

GitHub::GitHub(const std::string& base_url, std::string path, const Secret& token, os::Clock& clock)
    : requests_(api_url(base_url), "Authorization: Bearer " + token.reveal(), token, clock),
      path_(std::move(path)),
      runners_path_(runners_path_of(path_)),
      clock_(clock) {}

void GitHub::refuse(const http::ClientResponse& answer, std::string_view doing) const {
  throw CiFailure(answer.status,
                  std::format("GitHub refused to {} ({}): {}", doing, requests_.base_url(), requests_.quote(answer)));
}

json GitHub::parse(const http::ClientResponse& answer, std::string_view doing) const {
  json parsed = json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded())
    throw CiFailure(answer.status, std::format("{} at {}: the answer is not JSON", doing, requests_.base_url()));
  return parsed;
}

json GitHub::get(const std::string& path, std::string_view doing, const Patience& patience) {
  const auto answer = requests_.ask("GET", path, "", patience);
  if (answer.status != 200) refuse(answer, doing);
  return parse(answer, doing);
}

// All items of a list that comes in pages. The query alone is taken from the address of the next page: the token is
// sent to this API only.
std::vector<json> GitHub::get_all(const std::string& path, std::string_view list, std::string_view doing,
                                  const Patience& patience) {
  std::vector<json> items;
  std::string query = std::format("per_page={}", kPageSize);
  for (int count = 0; !query.empty() && count < kMostPages; ++count) {
    const auto answer = requests_.ask("GET", std::format("{}?{}", path, query), "", patience);
    if (answer.status != 200) refuse(answer, doing);
    const json page = parse(answer, doing);
    for (const json& item : dstack::json::member(page, list)) items.push_back(item);
    const auto link = answer.headers.find("link");
    query = link == answer.headers.end() ? std::string() : next_page(link->second);
  }
  return items;
}

std::string GitHub::runner_path(const std::string& id) const {
  return runners_path_ + "/" + http::encode_url_component(id);
}

void GitHub::check(const Patience& /*patience*/) {
  if (runners_path_.empty())
    throw Error(ErrorKind::invalid, std::format("{} is neither a repository nor an organisation of GitHub", path_));
}

std::vector<ListedRunner> GitHub::runners(const Patience& patience) {
  std::vector<ListedRunner> runners;
  for (const json& shown : get_all(runners_path_, "runners", "list the runners of " + path_, patience)) {
    ListedRunner& runner =
        runners.emplace_back(ListedRunner{.id = id_in(shown, "id"),
                                          .name = dstack::json::text_member(shown, "name"),
                                          .online = dstack::json::text_member(shown, "status") == "online"});
    for (const json& label : dstack::json::member(shown, "labels"))
      runner.labels.push_back(dstack::json::text_member(label, "name"));
  }
  return runners;
}

bool GitHub::has_labels(const ListedRunner& runner, const std::vector<std::string>& labels,
                        const Patience& /*patience*/) {
  return std::ranges::all_of(labels, [&runner](const std::string& label) {
    return std::ranges::any_of(runner.labels,
                               [&label](const std::string& other) { return text::equal_ignoring_case(label, other); });
  });
}

std::optional<json> GitHub::find_runner(const std::string& id, const Patience& patience) {
  const std::string doing = std::format("show runner {} of {}", id, path_);
  const auto answer = requests_.ask("GET", runner_path(id), "", patience);
  if (answer.status == 404) return std::nullopt;
  if (answer.status != 200) refuse(answer, doing);
  return parse(answer, doing);
}

bool GitHub::is_busy(const std::string& runner, const Patience& patience) {
  const auto shown = find_runner(runner, patience);
  return shown && dstack::json::true_member(*shown, "busy");
}

bool GitHub::is_listed(const std::string& runner, const Patience& patience) {
  return find_runner(runner, patience).has_value();
}

Registration GitHub::add_once(const std::string& name, const std::vector<std::string>& labels,
                              const Patience& patience) {
  const json body = {{"name", name},
                     {"runner_group_id", kDefaultRunnerGroup},
                     {"labels", all_labels(labels)},
                     {"work_folder", "_work"}};
  const auto answer =
      requests_.ask("POST", runners_path_ + "/generate-jitconfig", dstack::json::dump(body), patience, Lost::report);
  const std::string doing = std::format("register runner {} of {}", name, path_);
  if (answer.status == 409) {
    throw NameTaken(answer.status,
                    std::format("GitHub refused to {} ({}): {}", doing, requests_.base_url(), requests_.quote(answer)));
  }
  if (answer.status != 201) refuse(answer, doing);
  const json made = parse(answer, doing);
  Registration registration{.id = id_in(dstack::json::member(made, "runner"), "id"),
                            .name = name,
                            .token = Secret(dstack::json::text_member(made, "encoded_jit_config"))};
  if (registration.id.empty() || registration.token.empty()) {
    throw CiFailure(answer.status,
                    std::format("{} at {}: the answer has no runner or no configuration", doing, requests_.base_url()));
  }
  return registration;
}

void GitHub::remove_named(const std::string& name, const Patience& patience) {
  for (const ListedRunner& runner : runners(patience)) {
    if (runner.name == name && !runner.online) remove(runner.id, {}, patience);
  }
}

Registration GitHub::add(const std::string& name, const std::vector<std::string>& labels, const Patience& patience) {
  return add_until_answered(
      clock_, patience, [&] { return add_once(name, labels, patience); },
      [&](const Patience& left) { remove_named(name, left); });
}

Removal GitHub::withdraw(const std::string& runner, const Patience& patience) { return remove(runner, {}, patience); }

Removal GitHub::remove(const std::string& runner, const Secret& /*own*/, const Patience& patience) {
  const auto answer = requests_.ask("DELETE", runner_path(runner), "", patience);
  if (answer.status == 204 || answer.status == 404) return Removal::removed;
  if (answer.status == 422) return Removal::busy;
  refuse(answer, std::format("delete runner {} of {}", runner, path_));
}

RerunAnswer GitHub::rerun(const CiJob& job, const Patience& patience) {
  const std::string repository = repository_path(job.project);
  if (repository.empty() || !text::is_digits(job.pipeline) || job.runner.empty())
    throw CiFailure(404, "its workflow run is not known");
  const auto jobs = get_all(std::format("{}/actions/runs/{}/jobs", repository, job.pipeline), "jobs",
                            std::format("list the jobs of run {} of {}", job.pipeline, job.project), patience);
  const auto lost =
      std::ranges::find_if(jobs, [&job](const json& candidate) { return id_in(candidate, "runner_id") == job.runner; });
  if (lost == jobs.end())
    throw CiFailure(404, std::format("run {} of {} has no job of runner {}", job.pipeline, job.project, job.runner));
  if (dstack::json::text_member(*lost, "conclusion") == "success") return {.rerun = Rerun::not_needed};
  const std::int64_t attempt = number_in(*lost, "run_attempt");
  // By a request whose answer was lost, or by a person.
  const std::string name = dstack::json::text_member(*lost, "name");
  if (std::ranges::any_of(jobs, [&](const json& other) {
        return dstack::json::text_member(other, "name") == name && number_in(other, "run_attempt") > attempt;
      }))
    return {.rerun = Rerun::not_needed};
  const std::string id = id_in(*lost, "id");
  const auto answer =
      requests_.ask("POST", std::format("{}/actions/jobs/{}/rerun", repository, id), "", patience, Lost::report);
  if (answer.status == 201) return {.rerun = Rerun::started};
  if (answer.status == 403) return {.rerun = Rerun::too_early, .refusal = requests_.quote(answer)};
  refuse(answer, std::format("run job {} of {} again", id, job.project));
}

AgentRelease GitHub::newest_agent(const Patience& patience) {
  const std::string doing = "list the agents that can be downloaded";
  const json offers = get(runners_path_ + "/downloads", doing, patience);
  for (const json& offer : offers.is_array() ? offers : json::array()) {
    if (dstack::json::text_member(offer, "os") != "linux" ||
        dstack::json::text_member(offer, "architecture") != kArchitecture)
      continue;
    AgentRelease release{.file_name = dstack::json::text_member(offer, "filename"),
                         .url = dstack::json::text_member(offer, "download_url"),
                         .sha256 = text::lower_case(dstack::json::text_member(offer, "sha256_checksum"))};
    if (!is_file_name(release.file_name) || !is_sha256(release.sha256)) {
      throw Error(ErrorKind::invalid,
                  std::format("{} at {}: {} has no SHA-256 checksum or no usable name: give an agent "
                              "with --agent",
                              doing, requests_.base_url(), printable(release.file_name)));
    }
    return release;
  }
  throw Error(ErrorKind::not_found, std::format("{} at {}: there is none for linux {}: give one with --agent", doing,
                                                requests_.base_url(), kArchitecture));
}

}  // namespace dstack::shim::ci::github
