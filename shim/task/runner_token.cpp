#include "shim/task/runner_token.h"

#include <openssl/rand.h>

#include <array>

#include "common/error.h"

namespace dstack::shim::task {

Secret make_runner_token() {
  std::array<unsigned char, 32> bytes;
  if (::RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw Error(ErrorKind::internal, "create a token: the system returned no random numbers");
  std::string text;
  for (const unsigned char byte : bytes) text += std::format("{:02x}", byte);
  return Secret(std::move(text));
}

}  // namespace dstack::shim::task
