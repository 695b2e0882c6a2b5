#include "runner/repo/certificates.h"

#include <git2.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>

#include "common/os/ca_certificates.h"

// cacert.pem
extern "C" const char dstack_ca_bundle[];
extern "C" const char dstack_ca_bundle_end[];

namespace dstack::runner::repo {

namespace {

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
  spdlog::info("The image has no CA certificates: using the {} built into the runner", count);
}

}  // namespace

void trust_certificates() {
  const os::CaCertificates places = os::find_ca_certificates("/", [](const char* name) { return ::getenv(name); });
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
