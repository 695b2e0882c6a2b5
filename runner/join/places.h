#pragma once

#include <filesystem>
#include <string_view>

namespace dstack::runner::join {

// Where joining keeps and changes things on a host. Tests put it below a folder of theirs.
struct Places {
  std::filesystem::path root = "/";
  std::filesystem::path home = "/root";  // root's, below `root`

  std::filesystem::path dstack() const { return below(home) / ".dstack"; }
  std::filesystem::path folder() const { return dstack() / "join"; }
  std::filesystem::path id() const { return folder() / "id"; }
  std::filesystem::path fleet_key() const { return folder() / "fleet_key"; }
  std::filesystem::path fleet_public_key() const { return folder() / "fleet_key.pub"; }
  std::filesystem::path user_key() const { return folder() / "user_key"; }  // with which it logs in at the relay
  std::filesystem::path known_hosts() const { return folder() / "known_hosts"; }
  std::filesystem::path log() const { return folder() / "agent.log"; }
  std::filesystem::path state() const { return folder() / "state.json"; }
  std::filesystem::path account() const { return folder() / "account.yaml"; }
  std::filesystem::path progress() const { return folder() / "progress.json"; }
  std::filesystem::path command_lock() const { return folder() / "lock"; }
  std::filesystem::path leave_lock() const { return folder() / "leave.lock"; }
  std::filesystem::path agent_lock() const { return folder() / "agent.lock"; }
  std::filesystem::path ssh_server() const { return folder() / "sshd"; }

  std::filesystem::path library() const { return below("/usr/local/lib/dstack"); }
  std::filesystem::path agent_program() const { return library() / "dstack-runner"; }
  std::filesystem::path container_program() const { return library() / "containers" / "dstack-runner"; }
  std::filesystem::path kept_shim() const { return library() / "dstack-shim"; }
  std::filesystem::path programs() const { return below("/usr/local/bin"); }

  std::filesystem::path units() const { return below("/etc/systemd/system"); }
  std::filesystem::path join_unit() const { return units() / "dstack-join.service"; }
  std::filesystem::path shim_unit() const { return units() / "dstack-shim.service"; }

  std::filesystem::path ssh_folder() const { return below(home) / ".ssh"; }
  std::filesystem::path authorized_keys() const { return ssh_folder() / "authorized_keys"; }
  std::filesystem::path shim_environment() const { return dstack() / "shim.env"; }

  std::filesystem::path below(const std::filesystem::path& path) const { return root / path.relative_path(); }
};

// Whether anything is there, a link that leads nowhere as well.
bool is_there(const std::filesystem::path& path);

// Of this host: root's home as /etc/passwd has it.
Places places_of_host();

}  // namespace dstack::runner::join
