#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace dstack::os {

// Where a machine or an image keeps the certificates of the authorities that it trusts: SSL_CERT_FILE and SSL_CERT_DIR,
// or the bundle of its distribution.
struct CaCertificates {
  std::optional<std::string> file;
  std::optional<std::string> folder;
};
// `root` and `variable` stand for the file system and the environment.
CaCertificates find_ca_certificates(const std::filesystem::path& root,
                                    const std::function<const char*(const char*)>& variable);

}  // namespace dstack::os
