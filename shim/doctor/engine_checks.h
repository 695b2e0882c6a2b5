#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Whether Docker answers, and which.
Finding check_docker(const Host& host);

// Which version of cgroups holds the containers.
Finding check_cgroups(const Host& host);

// Room where Docker keeps images and containers.
Finding check_disk(const Host& host);

// What the free and the whole size of Docker's disk mean; `where` is its folder.
Finding judge_disk(const std::string& where, std::uint64_t free, std::uint64_t total);

// The engine's word about itself. Throws Error.
docker::EngineInfo ask_engine(const Host& host);

}  // namespace dstack::shim::doctor
