#include "common/os/ca_certificates.h"

#include <array>
#include <system_error>

namespace dstack::os {

namespace {

constexpr std::array kBundles = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Gentoo, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // CentOS, Rocky
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/etc/pki/tls/cacert.pem",                            // OpenELEC
    "/etc/ssl/cert.pem",                                  // Alpine, BSD
    "/var/lib/ca-certificates/ca-bundle.pem",             // SUSE
};

bool has_content(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) > 0;
}

}  // namespace

CaCertificates find_ca_certificates(const std::filesystem::path& root,
                                    const std::function<const char*(const char*)>& variable) {
  const auto value = [&variable](const char* name) -> std::optional<std::string> {
    const char* text = variable(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    return text;
  };
  CaCertificates places{.file = value("SSL_CERT_FILE"), .folder = value("SSL_CERT_DIR")};
  if (places.file || places.folder) return places;
  for (const std::filesystem::path bundle : kBundles) {
    const std::filesystem::path path = root / bundle.relative_path();
    if (!has_content(path)) continue;
    places.file = path;
    break;
  }
  return places;
}

}  // namespace dstack::os
