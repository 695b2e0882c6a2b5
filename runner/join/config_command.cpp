#include <format>
#include <iostream>
#include <print>

#include "common/exit_status.h"
#include "runner/join/options.h"
#include "runner/join/relay_address.h"
#include "runner/join/runner_name.h"

namespace dstack::runner::join {

namespace {

bool is_empty(const server_api::Given& given) {
  return !given.token && !given.server && !given.project && !given.relay && !given.name;
}

void check_words(const server_api::Given& given) {
  if (given.name && !is_runner_name(*given.name)) {
    throw CommandError(
        exit_status::kUsage,
        std::format("--name {}: a runner's name has 2 to 41 lower case letters, digits and -, and begins "
                    "with a letter",
                    printable(*given.name)));
  }
  if (given.relay) check_relay(*given.relay);
  if (given.token && given.token->empty()) throw CommandError(exit_status::kUsage, "--token is empty");
}

// The beginning is enough to tell one token from another.
std::string recognisable(const Secret& token) { return token.empty() ? "(none)" : token.reveal().substr(0, 4) + "…"; }

void show(const server_api::Settings& settings) {
  const auto line = [](const char* name, const std::string& value, const std::string& origin) {
    std::println("{:<8} {}  ({})", name, value, origin);
  };
  line("token", recognisable(settings.token), settings.token.empty() ? "not set" : settings.token_origin);
  line("server", settings.server.value, settings.server.origin);
  line("project", settings.project.value, settings.project.origin);
  if (settings.relay) line("relay", settings.relay->value, settings.relay->origin);
  if (settings.name) line("name", settings.name->value, settings.name->origin);
}

void warn(const server_api::Settings& settings) {
  for (const std::string& warning : settings.warnings) std::println(stderr, "warning: {}", warning);
}

}  // namespace

int configure(const ConfigOptions& options) {
  check_words(options.given);
  const server_api::Settings settings = server_api::resolve(options.given, server_api::find_settings_files());
  warn(settings);
  if (is_empty(options.given)) {
    show(settings);
    return exit_status::kDone;
  }
  const std::string& url = settings.server.value;
  if (url.starts_with("http://") && !server_api::is_loopback_url(url)) {
    std::println(
        stderr, "warning: {} is not encrypted: whoever is on the way reads the token. Use https:// where you can", url);
  }
  std::string user;
  if (options.check) {
    server_api::Client server(settings.account());
    user = server.check_membership(server.project());
  }
  server_api::Given stored = options.given;
  // A token is stored with the server that it is for.
  if (stored.token) {
    stored.server = url;
    stored.project = settings.project.value;
  } else if (stored.server) {
    stored.server = url;
  }
  server_api::store(server_api::own_settings_file(), stored);
  if (options.check) {
    std::println("configured as {} at {}, project {}", user, url, settings.project.value);
  } else {
    std::println("configured for {}, project {}, without asking the server", url, settings.project.value);
  }
  return exit_status::kDone;
}

}  // namespace dstack::runner::join
