#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace dstack::runner::repo {

// Where an image says whom it trusts: SSL_CERT_FILE and SSL_CERT_DIR, or the places of the distributions.
struct TrustedPlaces {
  std::optional<std::string> file;
  std::optional<std::string> folder;
};
// `root` and `variable` stand for the file system and the environment.
TrustedPlaces find_trusted_places(const std::filesystem::path& root,
                                  const std::function<const char*(const char*)>& variable);

// Has libgit2 trust what the image trusts, or what Mozilla does (a bundle in this program) where the image does not
// say. Problems are logged.
void trust_certificates();

}  // namespace dstack::runner::repo
