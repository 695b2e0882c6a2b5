#include "runner/repo/certificates.h"

#include <git2.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "common/error.h"

// cacert.pem
extern "C" const char dstack_ca_bundle[];
extern "C" const char dstack_ca_bundle_end[];

namespace dstack::runner::repo {

namespace {

constexpr std::array bundles = {
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

void trust_own_bundle() {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bundle(
      BIO_new_mem_buf(dstack_ca_bundle, static_cast<int>(dstack_ca_bundle_end - dstack_ca_bundle)), BIO_free);
  int count = 0;
  while (bundle) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(bundle.get(), nullptr, nullptr, nullptr), X509_free);
    if (!certificate) break;
    if (git_libgit2_opts(GIT_OPT_ADD_SSL_X509_CERT, certificate.get()) >= 0) ++count;
  }
  spdlog::info("The image has no CA certificates: using the {} that the runner brings", count);
}

}  // namespace

TrustedPlaces find_trusted_places(const std::filesystem::path& root,
                                  const std::function<const char*(const char*)>& variable) {
  const auto value = [&variable](const char* name) -> std::optional<std::string> {
    const char* text = variable(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    return text;
  };
  TrustedPlaces places{.file = value("SSL_CERT_FILE"), .folder = value("SSL_CERT_DIR")};
  if (places.file || places.folder) return places;
  for (const std::filesystem::path bundle : bundles) {
    const std::filesystem::path path = root / bundle.relative_path();
    if (!has_content(path)) continue;
    places.file = path;
    break;
  }
  return places;
}

void trust_certificates() {
  const TrustedPlaces places = find_trusted_places("/", [](const char* name) { return ::getenv(name); });
  if (!places.file && !places.folder) return trust_own_bundle();
  const int result = git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, places.file ? places.file->c_str() : nullptr,
                                      places.folder ? places.folder->c_str() : nullptr);
  if (result >= 0) return;
  const git_error* error = git_error_last();
  spdlog::warn("The CA certificates in {} cannot be used: {}", places.file ? *places.file : *places.folder,
               error == nullptr ? "unknown reason" : error->message);
  trust_own_bundle();
}

}  // namespace dstack::runner::repo
