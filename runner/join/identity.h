#pragma once

#include <string>

#include "common/secret.h"
#include "runner/join/places.h"

namespace dstack::runner::join {

// What this host keeps for life.
struct Identity {
  std::string id;
  std::string public_key;  // one line
  Secret private_key;      // Ed25519, in OpenSSH's own format
};

// Makes what is missing, by the ssh-keygen that this program carries. Throws Error.
Identity make_identity(const Places& places);
Identity load_identity(const Places& places);

}  // namespace dstack::runner::join
