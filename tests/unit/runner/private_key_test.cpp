#include "runner/repo/private_key.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>

#include "common/os/command.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::repo {

TEST_CASE("a key with a passphrase is told from one without, in every form") {
  const std::string type = GENERATE("ed25519", "ecdsa", "rsa");
  const std::string form = GENERATE("RFC4716", "PEM", "PKCS8");
  const std::string passphrase = GENERATE("", "secret");
  const test::TemporaryDirectory folder;
  const std::string file = folder / "key";
  // A large RSA key takes a while to find.
  const os::Command command{.arguments = {"ssh-keygen", "-q", "-t", type, "-m", form, "-N", passphrase, "-f", file},
                            .limit = std::chrono::minutes(5)};
  REQUIRE(os::run_command(command).succeeded());
  CHECK(has_passphrase(os::read_file(file)) == !passphrase.empty());
}

}  // namespace dstack::runner::repo
