#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::runner::ssh {

// Where the server's things are; everything below one folder.
struct ServerPlaces {
  std::filesystem::path folder = "/dstack/ssh";

  std::filesystem::path programs() const { return folder / "bin"; }
  std::filesystem::path sshd() const { return programs() / "sshd"; }
  std::filesystem::path config() const { return folder / "conf" / "sshd_config"; }
  std::filesystem::path authorized_keys() const { return folder / "conf" / "authorized_keys"; }
  std::filesystem::path host_key(std::string_view type) const {
    return folder / "conf" / ("ssh_host_" + std::string(type) + "_key");
  }
  std::filesystem::path empty() const { return folder / "empty"; }
  std::filesystem::path log() const { return folder / "log" / "sshd.log"; }
};

// A host's login, which is stricter than a container's: root alone, by keys of these files, with StrictModes.
struct HostLogin {
  std::string address;  // that it listens on; empty: all interfaces
  std::vector<std::filesystem::path> authorized_keys;
};

// As OpenSSH knows it; INFO, with a warning in the log, for a word that it would not start with.
std::string checked_log_level(const std::string& level);

// The text of sshd_config.
std::string server_config(const ServerPlaces& places, int port, const std::string& log_level);
std::string host_server_config(const ServerPlaces& places, int port, const std::string& log_level,
                               const HostLogin& login);

}  // namespace dstack::runner::ssh
