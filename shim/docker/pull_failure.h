#pragma once

#include <array>
#include <string_view>

#include "common/error.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::docker {

// Why a pull failed for good, in classes that a person does different things about.
enum class PullFailure {
  not_found,    // the registry has no such image
  refused,      // the registry refuses the credentials, or to say whether there is such an image
  no_space,     // the disk is full
  stalled,      // nothing moved for too long
  unavailable,  // the registry or the engine does not answer, or not as it should
  other,
};
inline constexpr std::array kAllPullFailures{PullFailure::not_found, PullFailure::refused,     PullFailure::no_space,
                                             PullFailure::stalled,   PullFailure::unavailable, PullFailure::other};
std::string_view name_of(PullFailure failure);

// What the engine's message about a pull of `image` amounts to. `answered` is the kind of the engine's own answer, or
// internal for a line of its stream. Engines of 20.10 to 29 and Podman hand a registry's answer on with statuses and
// wordings of their own, so the registry's status counts wherever the message has it; without one, the words do; last
// of all the engine's answer. Only `unavailable` may pass.
PullFailure pull_failure(const ImageReference& image, ErrorKind answered, std::string_view message);

// The error that a failed pull ends with.
ErrorKind error_kind(PullFailure failure);

// Whether a call of the engine that failed so is worth another try.
bool may_pass(ErrorKind kind);

}  // namespace dstack::shim::docker
