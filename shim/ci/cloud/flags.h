#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"
#include "common/server_api/client.h"
#include "common/server_api/settings.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci::cloud {

// What is asked of a dstack server: a machine of a cloud, and which server.
struct CloudFlags {
  std::string backend;  // "aws"; empty: no --cloud
  std::string region;   // empty: the backend's default
  std::string type;     // "m", "l", "xl" or an instance type; empty: the server's defaults
  std::string gpu = "nogpu";
  std::optional<std::int64_t> hdd_size;  // GB
  bool spot = false;
  std::optional<double> spot_price;  // dollars an hour
  Secret ssh_private;                // a file's path, or the key itself
  Secret startup_script;             // base64
  std::string dstack_url;
  std::string dstack_project;
  Secret dstack_token;

  bool is_wanted() const { return !backend.empty(); }
};

// `flags` must outlive the parsing.
void add_cloud_flags(CLI::App& command, CloudFlags& flags);

// After the parsing: what one flag alone cannot show. Throws CLI::ValidationError; returns warnings.
std::vector<std::string> check_cloud_flags(const CLI::App& command, const CloudFlags& flags);

// The flags whose values nobody else may see in the process's argument list.
std::vector<std::string> secret_cloud_flags();

// The server: the flags, then DSTACK_URL, DSTACK_PROJECT and DSTACK_TOKEN, then the default project of the dstack CLI's
// file. Throws CommandError (2) that names the flag that is missing.
server_api::Account find_account(const CloudFlags& flags, const std::filesystem::path& cli_file,
                                 const server_api::Environment& environment);
server_api::Account find_account(const CloudFlags& flags);

}  // namespace dstack::shim::ci::cloud
