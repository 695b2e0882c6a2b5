#include "runner/startup_log.h"

#include <catch2/catch_test_macros.hpp>

namespace dstack::runner {

TEST_CASE("an authorized key is described by its type and comment") {
  CHECK(describe_key("ssh-ed25519 AAAAC3Nz someone@laptop") == "ssh-ed25519 \"someone@laptop\"");
  CHECK(describe_key("ssh-rsa AAAAB3Nz") == "ssh-rsa");
  CHECK(describe_key("command=\"echo a b\",no-pty ecdsa-sha2-nistp256 AAAAE2Vj the key") ==
        "ecdsa-sha2-nistp256 \"the key\"");
  CHECK(describe_key("sk-ssh-ed25519@openssh.com AAAAGnNr x") == "sk-ssh-ed25519@openssh.com \"x\"");
  CHECK(describe_key("nonsense") == "\"nonsense\", which is not a public key");
}

}  // namespace dstack::runner
