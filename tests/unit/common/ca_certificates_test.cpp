#include "common/os/ca_certificates.h"

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::os;
namespace fs = std::filesystem;

namespace {

const char* no_variable(const char*) { return nullptr; }

void put(const fs::path& path, const char* content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << content;
}

}  // namespace

TEST_CASE("an image's certificates are where its distribution keeps them") {
  const test::TemporaryDirectory root;
  CHECK_FALSE(find_ca_certificates(root.path(), no_variable).file);
  put(root / "etc/ssl/ca-bundle.pem", "x");
  CHECK(find_ca_certificates(root.path(), no_variable).file == (root / "etc/ssl/ca-bundle.pem").string());
  put(root / "etc/ssl/certs/ca-certificates.crt", "x");
  CHECK(find_ca_certificates(root.path(), no_variable).file == (root / "etc/ssl/certs/ca-certificates.crt").string());
}

TEST_CASE("a bundle without a byte says nothing") {
  const test::TemporaryDirectory root;
  put(root / "etc/ssl/certs/ca-certificates.crt", "");
  CHECK_FALSE(find_ca_certificates(root.path(), no_variable).file);
}

TEST_CASE("SSL_CERT_FILE comes before the image's own") {
  const test::TemporaryDirectory root;
  put(root / "etc/ssl/certs/ca-certificates.crt", "x");
  const auto variable = [](const char* name) { return std::strcmp(name, "SSL_CERT_FILE") == 0 ? "/mine" : nullptr; };
  CHECK(find_ca_certificates(root.path(), variable).file == "/mine");
}
