#pragma once

#include <array>
#include <string_view>

#include "common/error.h"

namespace dstack::shim::docker {

// Why a pull failed for good, in classes that a person does different things about.
enum class PullFailure {
  not_found,    // the registry knows no such image
  refused,      // the registry refuses the credentials, or to say whether there is such an image
  no_space,     // the disk is full
  stalled,      // nothing moved for too long
  unavailable,  // the registry or the engine does not answer, or not as it should
  other,
};
inline constexpr std::array all_pull_failures{PullFailure::not_found, PullFailure::refused,     PullFailure::no_space,
                                              PullFailure::stalled,   PullFailure::unavailable, PullFailure::other};
std::string_view name_of(PullFailure failure);

// What the engine's message about a pull amounts to: not_found or invalid for what no second attempt will change,
// unavailable for anything else. The engine hands most of a registry's refusals on as a plain 500 or a line of its
// stream, so that only the words tell.
ErrorKind pull_error_kind(std::string_view message);

// Of a pull that has failed for good, with this error.
PullFailure pull_failure(ErrorKind kind, std::string_view message);

}  // namespace dstack::shim::docker
