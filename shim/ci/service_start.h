#pragma once

#include <string>

#include "shim/ci/containers.h"

namespace dstack::shim::ci {

// Waits until a service that was started can be used: its image's health check passes or, where it has none, its lowest
// exposed TCP port takes a connection or, where it exposes none either, it has run for a second. Returns what is wrong
// if it has ended or that takes too long; empty otherwise.
std::string await_service(Containers& containers, const std::string& role, os::Clock& clock = os::system_clock());

}  // namespace dstack::shim::ci
