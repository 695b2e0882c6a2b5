#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Whether Docker answers, and which.
Finding check_docker(const Host& host);

// Ways to run Docker in which tasks fail or lose something: rootless, from a snap, with SELinux, with userns-remap.
Finding check_engine_mode(const Host& host);
Finding judge_engine_mode(const docker::EngineInfo& info, const docker::EngineMode& mode, bool selinux_enforces);

// Whether containers outlive a restart of Docker.
Finding check_live_restore(const Host& host);

// Which version of cgroups holds the containers.
Finding check_cgroups(const Host& host);

// Room where Docker unpacks images.
Finding check_disk(const Host& host);

struct DiskSpace {
  std::uint64_t free = 0;   // bytes
  std::uint64_t total = 0;  // bytes
  std::uint64_t free_inodes = 0;
  std::uint64_t total_inodes = 0;  // 0 where the file system has no fixed number of them
};
// What the free and the whole size of Docker's disk mean; `where` is the folder.
Finding judge_disk(const std::string& where, const DiskSpace& space);

// The engine's word about itself. Throws Error.
docker::EngineInfo ask_engine(const Host& host);

}  // namespace dstack::shim::doctor
