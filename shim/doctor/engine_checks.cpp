#include "shim/doctor/engine_checks.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <format>

#include "common/error.h"

namespace dstack::shim::doctor {

namespace {

constexpr std::chrono::seconds kInfoLimit{5};
constexpr std::uint64_t gib = std::uint64_t{1} << 30;
// An image for GPUs takes 10 GB and more.
constexpr std::uint64_t little_space = 20 * gib;
constexpr std::uint64_t no_space = 2 * gib;

std::string in_gib(std::uint64_t bytes) {
  return std::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(gib));
}

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
  } catch (const Error& error) {
    const std::string found = std::format("no answer at {}: {}", host.engine->address(), error.what());
    if (error.kind() == ErrorKind::timed_out) {
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
  } catch (const Error&) {
    // Docker's own line says why.
  }
  if (version == 0) version = std::filesystem::exists(host.root / "sys/fs/cgroup/cgroup.controllers") ? 2 : 1;
  if (version >= 2) return ok(std::format("version {}", version));
  return warning("version 1: works, but systemd and Docker are about to drop it",
                 "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line");
}

Finding judge_disk(const std::string& where, std::uint64_t free, std::uint64_t total) {
  const std::string found = std::format("{} of {} free in {}", in_gib(free), in_gib(total), where);
  const char* const remedy =
      "see what `docker system df` says; `docker image prune -a` removes the images that no container uses";
  if (free < no_space) return broken(found, remedy);
  if (free < little_space) return warning(found, remedy);
  return ok(found);
}

Finding check_disk(const Host& host) {
  std::string folder;
  try {
    folder = ask_engine(host).root_directory;
  } catch (const Error&) {
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
  return judge_disk(folder, std::uint64_t{status.f_bavail} * status.f_frsize,
                    std::uint64_t{status.f_blocks} * status.f_frsize);
}

}  // namespace dstack::shim::doctor
