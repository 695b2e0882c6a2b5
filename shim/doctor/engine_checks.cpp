#include "shim/doctor/engine_checks.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/trim.h"
#include "shim/docker/unpack_folder.h"

namespace dstack::shim::doctor {

namespace {

constexpr std::chrono::seconds kInfoLimit{5};
constexpr std::uint64_t kGib = std::uint64_t{1} << 30;
// An image for GPUs takes 10 GB and more.
constexpr std::uint64_t kLittleSpace = 20 * kGib;
constexpr std::uint64_t kNoSpace = 2 * kGib;

std::string in_gib(std::uint64_t bytes) {
  return std::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(kGib));
}

Finding unknown_without_engine() { return warning("unknown without Docker", "fix Docker first"); }

}  // namespace

docker::EngineInfo ask_engine(const Host& host) {
  if (!host.engine) throw Error(ErrorKind::invalid, host.engine_trouble);
  return host.engine->info({.limit = kInfoLimit});
}

Finding check_docker(const Host& host) {
  if (!host.engine)
    return broken(host.engine_trouble, "correct the variable, or unset it for unix:///var/run/docker.sock");
  try {
    const docker::EngineInfo info = ask_engine(host);
    return ok(std::format("{} {}, API {}, at {}", info.podman ? "Podman" : "Docker", info.version, info.api_version,
                          host.engine->address()));
  } catch (const std::exception& error) {
    const std::string found = std::format("{}: {}", host.engine->address(), error.what());
    if (std::string_view(error.what()).contains("API version")) {
      return broken(found,
                    "the engine and this dstack-shim have no API version in common: upgrade the older of the two");
    }
    if (error_kind(error) == ErrorKind::timed_out) {
      return broken(
          found,
          "it hangs: `journalctl -u docker` may say why; `systemctl restart docker` also ends the containers, "
          "unless live-restore is set");
    }
    const bool root = ::geteuid() == 0;
    return broken(found,
                  std::string(root ? "" : "run this as root; ") +
                      "install Docker (Engine 20.10 or later), start it with `systemctl start docker`, or name its "
                      "socket in DOCKER_HOST");
  }
}

Finding check_cgroups(const Host& host) {
  int version = 0;
  try {
    version = ask_engine(host).cgroup_version;
  } catch (const std::exception&) {
    // Docker's own line says why.
  }
  if (version == 0) version = std::filesystem::exists(host.root / "sys/fs/cgroup/cgroup.controllers") ? 2 : 1;
  if (version >= 2) return ok(std::format("version {}", version));
  return warning("version 1: works, but systemd and Docker are about to drop it",
                 "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line");
}

Finding judge_engine_mode(const docker::EngineInfo& info, const docker::EngineMode& mode, bool selinux_enforces) {
  if (mode.rootless) {
    return broken("rootless: containers cannot have GPUs, volumes or the host's network as tasks need them",
                  "run Docker as root, and let DOCKER_HOST name its socket (unix:///var/run/docker.sock)");
  }
  if (mode.from_snap) {
    return broken(
        "from a snap: it does not see /usr/local/bin/dstack-runner or hidden folders such as ~/.dstack, so no "
        "task starts",
        "`snap remove docker`, then install Docker from its own packages or your distribution's");
  }
  if (mode.remaps_users) {
    return warning(
        "userns-remap is set: tasks run in the host's user namespace all the same, which an authorization "
        "plugin may refuse, and their image's files belong to the remapped root",
        "if tasks fail with a message about user namespaces, remove \"userns-remap\" from "
        "/etc/docker/daemon.json and restart Docker");
  }
  if (mode.selinux && selinux_enforces)
    return ok("as root; SELinux is on, and tasks run without its separation (label=disable)");
  return ok(info.podman ? "Podman, as root" : "as root, no remapped users");
}

Finding check_engine_mode(const Host& host) {
  const bool enforces = text::trim(os::try_read_file(host.root / "sys/fs/selinux/enforce").value_or("")) == "1";
  try {
    const docker::EngineInfo info = ask_engine(host);
    return judge_engine_mode(info, docker::mode_of(info, host.root), enforces);
  } catch (const std::exception&) {
    return unknown_without_engine();
  }
}

Finding check_live_restore(const Host& host) {
  try {
    const docker::EngineInfo info = ask_engine(host);
    if (info.podman) return ok("not needed: Podman has no daemon");
    if (info.keeps_containers) return ok("on: a restart of Docker ends no task");
    return warning("off: a restart or an upgrade of Docker ends all tasks",
                   "set \"live-restore\": true in /etc/docker/daemon.json, then `systemctl reload docker`");
  } catch (const std::exception&) {
    return unknown_without_engine();
  }
}

Finding judge_disk(const std::string& where, const DiskSpace& space) {
  const std::string found = std::format("{} of {} free in {}", in_gib(space.free), in_gib(space.total), where);
  const std::uint64_t used = space.total - std::min(space.free, space.total);
  // Removing what is there makes room for an image only if there is a lot.
  const bool is_small = used < kLittleSpace;
  const std::string remedy =
      is_small
          ? "the disk is small rather than full: enlarge it, or move Docker's files to a larger one (\"data-root\" in "
            "/etc/docker/daemon.json; with containerd's image store \"root\" in /etc/containerd/config.toml)"
          : "see what `docker system df` says; `docker image prune -a` removes the images that no container uses";
  if (space.total_inodes > 0 && space.free_inodes < space.total_inodes / 100) {
    const std::string inodes = std::format("{} of {} inodes free in {}", space.free_inodes, space.total_inodes, where);
    const char* const inode_remedy =
        "many small files use up the inodes: `docker image prune -a` and `docker builder prune` remove Docker's; "
        "`df -i` shows the file systems";
    return space.free_inodes == 0 ? broken(inodes, inode_remedy) : warning(inodes, inode_remedy);
  }
  if (space.free < kNoSpace) return broken(found, remedy);
  if (space.free < kLittleSpace) return warning(found, remedy);
  return ok(found);
}

Finding check_disk(const Host& host) {
  std::string folder;
  try {
    folder = docker::unpack_folder(ask_engine(host), host.root).string();
  } catch (const std::exception&) {
    // The shim's own disk is often the same.
  }
  struct statvfs status{};
  if (folder.empty() || ::statvfs(folder.c_str(), &status) != 0) {
    // A home that is not made yet lies on the disk of the folder above it.
    folder = host.home;
    while (::statvfs(folder.c_str(), &status) != 0) {
      const std::filesystem::path above = std::filesystem::path(folder).parent_path();
      if (above == folder || above.empty()) throw os_error("look at the disk of", folder);
      folder = above;
    }
  }
  return judge_disk(folder, {.free = std::uint64_t{status.f_bavail} * status.f_frsize,
                             .total = std::uint64_t{status.f_blocks} * status.f_frsize,
                             .free_inodes = status.f_favail,
                             .total_inodes = status.f_files});
}

}  // namespace dstack::shim::doctor
