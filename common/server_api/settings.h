#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/os/user_db.h"
#include "common/secret.h"
#include "common/server_api/client.h"

// Which server a command talks to, and as whom: flags, then the environment, then ~/.dstack/config.yaml, which is ours,
// then ~/.dstack/config.yml, which is the dstack CLI's and is only read.
namespace dstack::server_api {

// What was given on the command line.
struct Given {
  std::optional<std::string> token;
  std::optional<std::string> server;
  std::optional<std::string> project;
  std::optional<std::string> relay;
  std::optional<std::string> name;
};

struct SettingsFiles {
  std::filesystem::path own;  // config.yaml
  std::filesystem::path cli;  // config.yml
};

using Environment = std::function<const char*(const char*)>;
const char* process_environment(const char* name);

// In the home of whoever runs this. Root by way of sudo has the files of the user who called it, where root has none.
SettingsFiles find_settings_files(const os::UserDatabase& users = os::UserDatabase(),
                                  const Environment& environment = process_environment);
// Where `config` writes: in the home of whoever runs this.
std::filesystem::path own_settings_file(const os::UserDatabase& users = os::UserDatabase(),
                                        const Environment& environment = process_environment);

// The origin of a setting that nothing says.
inline constexpr const char* kDefaultOrigin = "default";

struct Setting {
  std::string value;
  std::string origin;  // "--server", "DSTACK_SERVER_URL", a file's path, kDefaultOrigin
};

struct Settings {
  Secret token;  // empty: there is none
  std::string token_origin;
  Setting server;
  Setting project;
  std::optional<Setting> relay;
  std::optional<Setting> name;
  std::vector<std::string> warnings;

  // Throws CommandError (78) where there is no token.
  Account account() const;
};

// Throws CommandError: 78 for a token that a file keeps for another server, 65 for a file or a URL that cannot be used.
Settings resolve(const Given& given, const SettingsFiles& files, const Environment& environment = process_environment);

// Writes these values to config.yaml, 0600, keeping the others, as one step; makes its folder, 0700. Throws Error.
void store(const std::filesystem::path& file, const Given& values);

// Whether a URL's host is this machine's loopback interface.
bool is_loopback_url(const std::string& url);
// The host of a URL, without brackets, user or port. Empty where there is none.
std::string host_of_url(const std::string& url);

}  // namespace dstack::server_api
