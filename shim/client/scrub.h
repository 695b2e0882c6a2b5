#pragma once

#include <string>
#include <string_view>

namespace dstack::shim::client {

// Text for a bug report: what looks like a secret is replaced by "[removed]". That is the login and the query of a URL,
// what follows "Bearer", and the value of anything called a password, secret, token or key. A second line of defence:
// what is known to hold secrets is not put there in the first place.
std::string scrub(std::string_view text);

}  // namespace dstack::shim::client
