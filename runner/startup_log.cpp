#include "runner/startup_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/version.h"

namespace dstack::runner {

namespace {

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  return word;
}

bool is_key_type(std::string_view word) {
  return word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-");
}

}  // namespace

std::string describe_key(std::string_view line) {
  // Options may come first, with blanks in their quotes.
  for (std::string_view rest = line; !rest.empty();) {
    const std::string_view type = take_word(rest);
    if (!is_key_type(type)) continue;
    take_word(rest);  // the key
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    return rest.empty() ? std::string(type) : std::format("{} {}", type, printable(rest, 80));
  }
  return std::format("{}, which is not a public key", printable(line, 20));
}

void log_startup(const Options& options, int http_port, bool ssh_answers) {
  spdlog::info("dstack-runner {} listens on {} port {}", version(),
               options.http_address.empty() ? "every address," : options.http_address + ",", http_port);
  if (ssh_answers) {
    spdlog::info("The SSH server listens on port {}; {} authorized keys may log in", options.ssh_port,
                 options.ssh_authorized_keys.size());
  }
  for (const std::string& key : options.ssh_authorized_keys) spdlog::info("Authorized key: {}", describe_key(key));
}

}  // namespace dstack::runner
