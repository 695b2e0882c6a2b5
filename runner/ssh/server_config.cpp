#include "runner/ssh/server_config.h"

#include <spdlog/spdlog.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <format>

#include "common/error.h"

namespace dstack::runner::ssh {

std::string checked_log_level(const std::string& level) {
  constexpr std::array<const char*, 10> known = {"QUIET", "FATAL",  "ERROR",  "INFO",   "VERBOSE",
                                                 "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3", "TRACE"};
  const auto found =
      std::ranges::find_if(known, [&level](const char* name) { return ::strcasecmp(name, level.c_str()) == 0; });
  if (found == known.end()) {
    spdlog::warn("--ssh-log-level {} is not an sshd log level: using INFO", printable(level));
    return "INFO";
  }
  using namespace std::string_view_literals;
  return *found == "TRACE"sv ? "DEBUG3" : *found;
}

std::string server_config(const ServerPlaces& places, int port, const std::string& log_level) {
  const std::string programs = places.programs().string();
  return std::format(
      // What the server is.
      "Port {}\n"
      "HostKey {}\n"
      "HostKey {}\n"
      "PidFile none\n"
      "LogLevel {}\n"
      "SshdSessionPath {}/sshd-session\n"
      "SshdAuthPath {}/sshd-auth\n"
      "Subsystem sftp internal-sftp\n"
      // Who may log in: whoever has a key. The first file is believed whatever mode the folders above it have
      // (cmake/recipes/openssh/trust.c), the user's own one only where no other user may write it.
      "AuthorizedKeysFile {} .ssh/authorized_keys\n"
      "StrictModes yes\n"
      "PermitRootLogin prohibit-password\n"
      "PasswordAuthentication no\n"
      "KbdInteractiveAuthentication no\n"
      // An agent offers all of its keys, the right one maybe last.
      "MaxAuthTries 100\n"
      // Everybody comes from one address, the host's, many at once.
      "PerSourcePenalties no\n"
      "MaxStartups 200\n"
      "MaxSessions 200\n"
      "UseDNS no\n"
      // What a session may do.
      "AllowTcpForwarding yes\n"
      "AllowStreamLocalForwarding yes\n"
      "StreamLocalBindUnlink yes\n"
      "AllowAgentForwarding yes\n"
      "AcceptEnv LANG LC_* COLORTERM NO_COLOR\n"
      // Who is gone is noticed after two minutes.
      "ClientAliveInterval 30\n"
      "ClientAliveCountMax 4\n",
      port, places.host_key("ecdsa").string(), places.host_key("ed25519").string(), log_level, programs, programs,
      places.authorized_keys().string());
}

std::string host_server_config(const ServerPlaces& places, int port, const std::string& log_level,
                               const HostLogin& login) {
  const std::string programs = places.programs().string();
  std::string keys;
  for (const std::filesystem::path& file : login.authorized_keys) keys += std::format(" \"{}\"", file.string());
  const std::string address = login.address.empty() ? "" : std::format("ListenAddress {}\n", login.address);
  return std::format(
      "Port {}\n"
      "{}"
      "HostKey {}\n"
      "HostKey {}\n"
      "PidFile none\n"
      "LogLevel {}\n"
      "SshdSessionPath {}/sshd-session\n"
      "SshdAuthPath {}/sshd-auth\n"
      "Subsystem sftp internal-sftp\n"
      "AllowUsers root\n"
      "PermitRootLogin prohibit-password\n"
      "AuthenticationMethods publickey\n"
      "PubkeyAuthentication yes\n"
      "PasswordAuthentication no\n"
      "KbdInteractiveAuthentication no\n"
      "AuthorizedKeysFile{}\n"
      "StrictModes yes\n"
      // The dstack server connects anew for each look, from one address.
      "PerSourcePenalties no\n"
      "MaxStartups 100\n"
      "MaxSessions 200\n"
      "UseDNS no\n"
      "AllowTcpForwarding yes\n"
      "AllowStreamLocalForwarding yes\n"
      "AllowAgentForwarding no\n"
      "X11Forwarding no\n"
      "ClientAliveInterval 30\n"
      "ClientAliveCountMax 4\n",
      port, address, places.host_key("ecdsa").string(), places.host_key("ed25519").string(), log_level, programs,
      programs, keys);
}

}  // namespace dstack::runner::ssh
