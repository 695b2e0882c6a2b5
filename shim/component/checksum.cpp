#include "shim/component/checksum.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <format>
#include <memory>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::shim::component {

namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
};

}  // namespace

std::string sha256_of(const std::filesystem::path& file) {
  const os::UniqueFd opened = os::open_file(file, O_RDONLY);
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(::EVP_MD_CTX_new());
  bool good = context && ::EVP_DigestInit_ex(context.get(), ::EVP_sha256(), nullptr) == 1;
  std::vector<char> piece(kPieceBytes);
  while (good) {
    const ssize_t count = ::read(opened.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read", file.string());
    if (count == 0) break;
    good = ::EVP_DigestUpdate(context.get(), piece.data(), static_cast<std::size_t>(count)) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (!good || ::EVP_DigestFinal_ex(context.get(), digest.data(), &size) != 1)
    throw Error(ErrorKind::internal, std::format("checksum of {}: OpenSSL failed", file.string()));
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += std::format("{:02x}", digest[i]);
  return text;
}

}  // namespace dstack::shim::component
