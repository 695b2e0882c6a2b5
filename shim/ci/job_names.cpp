#include "shim/ci/job_names.h"

#include <openssl/sha.h>

#include <array>
#include <format>

namespace dstack::shim::ci {

namespace {

// Enough to tell names apart: 64 bits in hexadecimal.
std::string short_hash(std::string_view ci, std::string_view item) {
  const std::string text = std::format("{}\n{}", ci, item);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::string hash;
  for (std::size_t i = 0; i < 8; ++i) hash += std::format("{:02x}", digest[i]);
  return hash;
}

}  // namespace

JobNames::JobNames(std::string_view ci, std::string_view job) : prefix_(std::format("ci-{}-", short_hash(ci, job))) {}

std::string cache_volume(std::string_view ci, std::string_view project) {
  return "dstack-ci-cache-" + short_hash(ci, project);
}

}  // namespace dstack::shim::ci
