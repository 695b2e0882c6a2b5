#include "common/server_api/settings.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <format>
#include <nlohmann/json.hpp>

#include "common/exit_status.h"
#include "common/http/url.h"
#include "common/os/file.h"
#include "common/text/letter_case.h"
#include "common/yaml/document.h"

namespace dstack::server_api {

using nlohmann::json;

namespace {

constexpr const char* kDefaultServer = "http://127.0.0.1:3000";
constexpr const char* kDefaultProject = "main";

std::optional<std::string> setting_in(const json& object, const char* name) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) return std::nullopt;
  return found->get<std::string>();
}

json read_settings(const std::filesystem::path& file) {
  std::error_code failure;
  if (!std::filesystem::exists(file, failure)) {
    if (failure)
      throw CommandError(exit_status::kBadData, std::format("look at {}: {}", file.string(), failure.message()));
    return {};
  }
  try {
    return yaml::parse(os::read_file(file, std::size_t{1} << 20), file.string());
  } catch (const Error& error) {
    throw CommandError(exit_status::kBadData, error.what());
  }
}

// The project of config.yml by its name, or the one that is marked as the default.
json project_of_cli(const json& config, const std::optional<std::string>& name) {
  if (!config.is_object() || !config.contains("projects") || !config["projects"].is_array()) return {};
  for (const json& project : config["projects"]) {
    if (name ? setting_in(project, "name") == name : setting_in(project, "default") == "true") return project;
  }
  return {};
}

std::string checked_url(std::string url, const std::string& origin) {
  while (url.ends_with('/')) url.pop_back();
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || host_of_url(url).empty() || url.find_first_of(" \t\r\n?#@") != std::string::npos) {
    throw CommandError(
        exit_status::kBadData,
        std::format("{} ({}) is not the URL of a server: it has the form http://HOST:PORT or https://HOST",
                    printable(url), origin));
  }
  return url;
}

// Letter case of the host and a port that goes without saying make no other server.
std::string comparable(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  url = text::lower_case(url);
  if (url.starts_with("http://") && url.ends_with(":80")) url.resize(url.size() - 3);
  if (url.starts_with("https://") && url.ends_with(":443")) url.resize(url.size() - 4);
  return url;
}

// The first of these that is there, from left to right.
class Choice {
 public:
  Choice& or_else(const std::optional<std::string>& value, const std::string& origin) {
    if (!found_ && value && !value->empty()) found_ = Setting{.value = *value, .origin = origin};
    return *this;
  }
  Choice& or_else(const char* value, const std::string& origin) {
    return or_else(value == nullptr ? std::nullopt : std::optional<std::string>(value), origin);
  }
  const std::optional<Setting>& found() const { return found_; }

 private:
  std::optional<Setting> found_;
};

void warn_of_readers(const std::filesystem::path& file, std::vector<std::string>& warnings) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0 || (status.st_mode & 0077) == 0) return;
  warnings.push_back(std::format("{} holds a token and other users may read it (mode {:04o}): chmod 600 {}",
                                 file.string(), status.st_mode & 07777, file.string()));
}

std::filesystem::path folder_in(const std::filesystem::path& home) { return home / ".dstack"; }

std::filesystem::path own_home(const os::UserDatabase& users, const Environment& environment) {
  if (const char* home = environment("HOME"); home != nullptr && *home == '/') return home;
  const auto entry = users.find_user(::geteuid());
  return entry && entry->home.starts_with('/') ? entry->home : "/root";
}

bool is_there(const std::filesystem::path& file) {
  std::error_code failure;
  return std::filesystem::exists(file, failure);
}

}  // namespace

const char* process_environment(const char* name) { return std::getenv(name); }

std::filesystem::path own_settings_file(const os::UserDatabase& users, const Environment& environment) {
  return folder_in(own_home(users, environment)) / "config.yaml";
}

SettingsFiles find_settings_files(const os::UserDatabase& users, const Environment& environment) {
  const std::filesystem::path own = folder_in(own_home(users, environment));
  SettingsFiles files{.own = own / "config.yaml", .cli = own / "config.yml"};
  const char* caller = environment("SUDO_USER");
  if (::geteuid() != 0 || caller == nullptr) return files;
  const auto entry = users.find_user(std::string_view(caller));
  if (!entry || !entry->home.starts_with('/')) return files;
  const std::filesystem::path callers = folder_in(entry->home);
  if (!is_there(files.own)) files.own = callers / "config.yaml";
  if (!is_there(files.cli)) files.cli = callers / "config.yml";
  return files;
}

Settings resolve(const Given& given, const SettingsFiles& files, const Environment& environment) {
  const json own = read_settings(files.own);
  const json cli = read_settings(files.cli);
  if (!own.is_null() && !own.is_object()) {
    throw CommandError(exit_status::kBadData, std::format("{}: not a mapping", files.own.string()));
  }
  Settings settings;

  Choice project;
  project.or_else(given.project, "--project").or_else(environment("DSTACK_PROJECT"), "DSTACK_PROJECT");
  project.or_else(setting_in(own, "project"), files.own);
  project.or_else(setting_in(project_of_cli(cli, std::nullopt), "name"), files.cli)
      .or_else(kDefaultProject, kDefaultOrigin);
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is a default
  settings.project = *project.found();
  const json of_cli = project_of_cli(cli, settings.project.value);

  Choice server;
  server.or_else(given.server, "--server").or_else(environment("DSTACK_SERVER_URL"), "DSTACK_SERVER_URL");
  server.or_else(setting_in(own, "server"), files.own).or_else(setting_in(of_cli, "url"), files.cli);
  server.or_else(kDefaultServer, kDefaultOrigin);
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is a default
  settings.server = *server.found();
  settings.server.value = checked_url(settings.server.value, settings.server.origin);

  Choice token;
  token.or_else(given.token, "--token").or_else(environment("DSTACK_TOKEN"), "DSTACK_TOKEN");
  token.or_else(setting_in(own, "token"), files.own).or_else(setting_in(of_cli, "token"), files.cli);
  if (const auto& found = token.found()) {
    settings.token = Secret(found->value);
    settings.token_origin = found->origin;
  }
  if (settings.token.reveal().find_first_of("\r\n") != std::string::npos) {
    throw CommandError(exit_status::kBadData,
                       std::format("the token ({}) has a line end in it", settings.token_origin));
  }

  // A token is sent to the server that it was stored with, and to no other.
  const bool of_own_file = settings.token_origin == files.own;
  const bool of_cli_file = settings.token_origin == files.cli;
  const auto home = of_own_file ? setting_in(own, "server") : of_cli_file ? setting_in(of_cli, "url") : std::nullopt;
  if (home && comparable(*home) != comparable(settings.server.value)) {
    throw CommandError(
        exit_status::kConfiguration,
        std::format("the token in {} is for {}, and is not sent to {} ({}): give the token of that server as well",
                    settings.token_origin, *home, settings.server.value, settings.server.origin));
  }
  if (of_own_file) warn_of_readers(files.own, settings.warnings);
  if (of_cli_file) warn_of_readers(files.cli, settings.warnings);

  settings.relay = Choice().or_else(given.relay, "--relay").or_else(setting_in(own, "relay"), files.own).found();
  settings.name = Choice().or_else(given.name, "--name").or_else(setting_in(own, "name"), files.own).found();
  return settings;
}

Account Settings::account() const {
  if (token.empty()) {
    throw CommandError(exit_status::kConfiguration,
                       "no token is configured: dstack-runner config --token TOKEN --server URL (or DSTACK_TOKEN)");
  }
  return {.url = server.value, .token = token, .project = project.value};
}

void store(const std::filesystem::path& file, const Given& values) {
  std::map<std::string, std::optional<std::string>> changed;
  const auto add = [&changed](const char* key, const std::optional<std::string>& value) {
    if (value) changed[key] = value;
  };
  add("token", values.token);
  add("server", values.server);
  add("project", values.project);
  add("relay", values.relay);
  add("name", values.name);
  os::make_directories(file.parent_path(), 0700);
  const std::string before = is_there(file) ? os::read_file(file, std::size_t{1} << 20) : "";
  os::write_file_atomic(file, yaml::with_values(before, changed, file.string()), 0600);
}

std::string host_of_url(const std::string& url) {
  const auto parsed = http::parse_url(url);
  return parsed ? parsed->host : "";
}

bool is_loopback_url(const std::string& url) { return http::is_loopback_url(url); }

}  // namespace dstack::server_api
