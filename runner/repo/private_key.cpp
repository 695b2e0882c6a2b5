#include "runner/repo/private_key.h"

#include <algorithm>

namespace dstack::runner::repo {

bool has_passphrase(std::string_view key) {
  constexpr std::string_view header = "-----BEGIN OPENSSH PRIVATE KEY-----";
  const std::size_t at = key.find(header);
  if (at == std::string_view::npos) {
    return key.contains("BEGIN ENCRYPTED PRIVATE KEY") || key.contains("Proc-Type: 4,ENCRYPTED");
  }
  key.remove_prefix(at + header.size());
  key.remove_prefix(std::min(key.find_first_not_of(" \t\r\n"), key.size()));
  // In base64, "openssh-key-v1" and the name of the cipher, which is "none".
  return key.starts_with("b3BlbnNzaC1rZXktdjEA") && !key.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbm");
}

}  // namespace dstack::runner::repo
