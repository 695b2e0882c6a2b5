#include "common/server_api/relay_listen.h"

#include <openssl/evp.h>

#include <array>
#include <format>

#include "common/error.h"

namespace dstack::server_api {

std::string relay_listen_address(const std::string& user_id, int number) {
  std::array<unsigned char, 32> hash{};
  unsigned int size = 0;
  if (EVP_Digest(user_id.data(), user_id.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::internal, "compute a SHA-256 hash: libcrypto failed");
  }
  return std::format("127.{}.{}.{}", 64 + hash[0] % 128, hash[1], number);
}

}  // namespace dstack::server_api
