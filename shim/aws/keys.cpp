#include "shim/aws/keys.h"

#include <algorithm>
#include <format>
#include <iostream>
#include <string_view>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/client/prompt.h"

namespace dstack::shim::aws {

namespace {

using client::Echo;

std::string line_of_stdin() {
  std::string line;
  if (!std::getline(std::cin, line)) line.clear();
  line = text::trim(line);
  if (line.empty()) throw usage_error("--secret-access-key -: there is no key on stdin");
  return line;
}

std::string variable(const server_api::Environment& environment, const char* name) {
  const char* value = environment(name);
  if (value == nullptr || *value == '\0') throw usage_error(std::format("--from-env: {} is not set", name));
  return value;
}

std::string answer(const std::string& question, Echo echo) {
  auto line = client::ask(question, echo);
  if (!line || line->empty()) throw usage_error(std::format("{}nothing was entered", question));
  return *line;
}

// Several are separated by commas or blanks.
std::vector<std::string> regions_of(std::string list) {
  std::ranges::replace(list, ',', ' ');
  std::vector<std::string> regions;
  for (const std::string_view region : text::split_words(list)) {
    if (!std::ranges::contains(regions, region)) regions.emplace_back(region);
  }
  return regions;
}

// "us-east-1", "us-gov-west-1": two letters, words, a number.
bool looks_like_region(const std::string& text) {
  const std::vector<std::string_view> parts = text::split(text, '-');
  const auto is_word = [](std::string_view part) {
    return !part.empty() && std::ranges::all_of(part, [](char c) { return c >= 'a' && c <= 'z'; });
  };
  return parts.size() >= 3 && parts[0].size() == 2 && std::ranges::all_of(parts.begin(), parts.end() - 1, is_word) &&
         text::is_digits(parts.back());
}

// The server answers a region that AWS does not have with 500.
void check_region(const std::string& region) {
  if (looks_like_region(region)) return;
  throw CommandError(exit_status::kBadData,
                     std::format("{} is not an AWS region: they have the form us-east-1", printable(region)));
}

void demand_terminal(const std::string& missing) {
  if (client::has_terminal()) return;
  throw usage_error(
      std::format("{} is missing and there is no terminal to ask at: give --access-key-id ID "
                  "--secret-access-key - --region REGION, or --from-env",
                  missing));
}

}  // namespace

Keys find_keys(const AwsCommand& command, std::ostream& talk, const server_api::Environment& environment) {
  std::string id = command.access_key_id;
  std::string secret;
  std::string regions;
  for (const std::string& region : command.regions) regions += region + " ";
  if (!command.secret_access_key.empty()) {
    if (command.secret_access_key != "-")
      throw usage_error(
          "--secret-access-key takes only \"-\": other users can read a command line. Write the key to stdin");
    secret = line_of_stdin();
  }
  if (command.from_environment) {
    if (id.empty()) id = variable(environment, "AWS_ACCESS_KEY_ID");
    if (secret.empty()) secret = variable(environment, "AWS_SECRET_ACCESS_KEY");
    if (regions.empty()) regions = variable(environment, "AWS_REGION");
  }

  const bool asks = id.empty() || secret.empty() || regions.empty();
  if (id.empty()) demand_terminal("the access key's ID");
  if (secret.empty()) demand_terminal("the secret access key");
  if (regions.empty()) demand_terminal("a region");
  if (id.empty()) id = answer("AWS Access Key ID: ", Echo::on);
  if (secret.empty()) secret = answer("AWS Secret Access Key: ", Echo::off);
  if (regions.empty()) regions = answer("Region name: ", Echo::on);
  if (asks) {
    const std::string bucket = client::ask("Artifact S3 bucket[None]: ").value_or("");
    if (!bucket.empty() && bucket != "None") talk << "this server keeps no artifacts in S3: the bucket is not used\n";
  }

  Keys keys{
      .access_key_id = Secret(id), .secret_access_key = Secret(secret), .regions = regions_of(std::move(regions))};
  if (keys.regions.empty()) throw usage_error("a region is missing: --region REGION");
  std::ranges::for_each(keys.regions, check_region);
  return keys;
}

}  // namespace dstack::shim::aws
