#include "shim/ci/cloud/ssh_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <cstdint>
#include <format>
#include <memory>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/base64.h"
#include "common/text/trim.h"

namespace dstack::shim::ci::cloud {

namespace {

constexpr std::size_t kLargestKeyFile = 65536;
constexpr std::string_view kOpenSshBegin = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view kOpenSshEnd = "-----END OPENSSH PRIVATE KEY-----";
constexpr std::string_view kOpenSshMagic{"openssh-key-v1\0", 15};
constexpr std::size_t kEd25519Size = 32;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// --- the fields of SSH's wire format (RFC 4251, 5)

void append_string(std::string& out, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(size >> shift & 0xff);
  out += text;
}

std::optional<std::uint32_t> take_number(std::string_view& rest) {
  if (rest.size() < 4) return std::nullopt;
  std::uint32_t number = 0;
  for (const char c : rest.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(c);
  rest.remove_prefix(4);
  return number;
}

std::optional<std::string_view> take_string(std::string_view& rest) {
  const auto size = take_number(rest);
  if (!size || rest.size() < *size) return std::nullopt;
  const std::string_view text = rest.substr(0, *size);
  rest.remove_prefix(*size);
  return text;
}

void append_integer(std::string& out, const EVP_PKEY& key, const char* name) {
  BIGNUM* found = nullptr;
  if (EVP_PKEY_get_bn_param(&key, name, &found) != 1) throw Error(ErrorKind::invalid, "it has no public half");
  const Owned<BIGNUM> number(found);
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  // A positive number's first bit is 0.
  if (!bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0x80) != 0) bytes.insert(0, 1, '\0');
  append_string(out, bytes);
}

std::string line(std::string_view type, const std::string& blob) {
  return std::format("{} {}", type, text::base64(blob));
}

std::string ed25519_line(const EVP_PKEY& key) {
  std::string raw(kEd25519Size, '\0');
  std::size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(&key, reinterpret_cast<unsigned char*>(raw.data()), &size) != 1 ||
      size != kEd25519Size)
    throw Error(ErrorKind::invalid, "it has no public half");
  std::string blob;
  append_string(blob, "ssh-ed25519");
  append_string(blob, raw);
  return line("ssh-ed25519", blob);
}

std::string rsa_line(const EVP_PKEY& key) {
  std::string blob;
  append_string(blob, "ssh-rsa");
  append_integer(blob, key, OSSL_PKEY_PARAM_RSA_E);
  append_integer(blob, key, OSSL_PKEY_PARAM_RSA_N);
  return line("ssh-rsa", blob);
}

std::string ec_line(const EVP_PKEY& key) {
  struct Curve {
    std::string_view openssl;
    std::string_view ssh;
  };
  constexpr std::array kCurves = {Curve{.openssl = "prime256v1", .ssh = "nistp256"},
                                  Curve{.openssl = "secp384r1", .ssh = "nistp384"},
                                  Curve{.openssl = "secp521r1", .ssh = "nistp521"}};
  std::array<char, 64> group{};
  std::array<unsigned char, 256> point{};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(&key, group.data(), group.size(), nullptr) != 1 ||
      EVP_PKEY_get_octet_string_param(&key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &size) != 1)
    throw Error(ErrorKind::invalid, "it has no public half");
  for (const Curve& curve : kCurves) {
    if (curve.openssl != group.data()) continue;
    const std::string type = std::format("ecdsa-sha2-{}", curve.ssh);
    std::string blob;
    append_string(blob, type);
    append_string(blob, curve.ssh);
    append_string(blob, {reinterpret_cast<const char*>(point.data()), size});
    return line(type, blob);
  }
  throw Error(ErrorKind::invalid, "SSH does not know its curve");
}

std::string line_of(const EVP_PKEY& key) {
  switch (EVP_PKEY_get_base_id(&key)) {
    case EVP_PKEY_ED25519: return ed25519_line(key);
    case EVP_PKEY_RSA: return rsa_line(key);
    case EVP_PKEY_EC: return ec_line(key);
    default: throw Error(ErrorKind::invalid, "it is neither an RSA, an ECDSA nor an Ed25519 key");
  }
}

// OpenSSH's own format has the public half in front of the private one, which may be encrypted.
std::string openssh_line(std::string_view text) {
  const std::size_t begin = text.find(kOpenSshBegin) + kOpenSshBegin.size();
  const std::size_t end = text.find(kOpenSshEnd, begin);
  std::string body;
  for (const char c : text.substr(begin, end == std::string_view::npos ? end : end - begin)) {
    if (c != '\n' && c != '\r' && c != ' ') body += c;
  }
  const auto decoded = text::decode_base64(body);
  if (decoded && decoded->starts_with(kOpenSshMagic)) {
    std::string_view rest = std::string_view(*decoded).substr(kOpenSshMagic.size());
    const bool has_head = take_string(rest) && take_string(rest) && take_string(rest) && take_number(rest);
    if (const auto blob = has_head ? take_string(rest) : std::nullopt) {
      std::string_view fields = *blob;
      if (const auto type = take_string(fields); type && !type->empty() && text::trim(*type) == *type)
        return line(*type, std::string(*blob));
    }
  }
  throw Error(ErrorKind::invalid, "it is damaged");
}

std::string pem_line(const std::string& text) {
  const Owned<BIO> input(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // Nobody is asked for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(input.get(), nullptr, no_password, nullptr));
  if (!key) {
    throw Error(ErrorKind::invalid, text.contains("ENCRYPTED") ? "it is encrypted: give one without a passphrase"
                                                               : "it is not a private key that can be read");
  }
  return line_of(*key);
}

}  // namespace

std::string public_half(const std::string& key) {
  std::string text = key;
  if (!key.contains("-----BEGIN ")) {
    try {
      text = os::read_file(std::string(text::trim(key)), kLargestKeyFile);
    } catch (const std::exception&) {  // which would name the path, and that may be half a key
      throw Error(ErrorKind::invalid, "it is neither a private key nor the path of a file that can be read");
    }
  }
  // As it is in a variable of a CI step, on one line.
  for (std::size_t at = text.find("\\n"); at != std::string::npos; at = text.find("\\n", at)) text.replace(at, 2, "\n");
  return text.contains(kOpenSshBegin) ? openssh_line(text) : pem_line(text);
}

std::string throwaway_public_key() {
  const Owned<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) throw Error(ErrorKind::internal, "make an SSH key: OpenSSL cannot");
  return ed25519_line(*key);
}

}  // namespace dstack::shim::ci::cloud
