#include <format>
#include <string_view>

#include "common/exit_status.h"
#include "common/server_api/relay_listen.h"
#include "common/text/split.h"
#include "shim/client/output.h"
#include "shim/relay/relay.h"

namespace dstack::shim::relay {

namespace {

constexpr std::size_t kBlobLimit = 16384;

// Base64 and nothing else: it is compared, and printed as part of a line that sshd reads.
bool is_blob(const std::string& text) {
  return !text.empty() && text.size() <= kBlobLimit &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=") ==
             std::string::npos;
}

std::string line_for(const server_api::User& user, std::string_view type, const std::string& blob) {
  std::string line = "restrict,port-forwarding,command=\"/usr/local/bin/dstack-shim relay hold\"";
  for (int number = 1; number <= server_api::kRelayAddresses; ++number) {
    line += std::format(",permitlisten=\"{}:{}\"", server_api::relay_listen_address(user.id, number),
                        server_api::kRelayListenPort);
  }
  return std::format("{} {} {}", line, type, blob);
}

}  // namespace

std::optional<std::string> key_line(const server_api::Project& project, const std::string& blob) {
  if (!is_blob(blob)) return std::nullopt;
  for (const server_api::Member& member : project.members) {
    const auto words = text::split_words(member.user.ssh_public_key);
    if (words.size() >= 2 && words[1] == blob && words[0].find_first_of("\",") == std::string_view::npos) {
      return line_for(member.user, words[0], blob);
    }
  }
  return std::nullopt;
}

int print_keys(const std::string& blob, const RelayPlaces& places) {
  if (!is_blob(blob)) return exit_status::kDone;
  const server_api::SettingsFiles files{.own = places.settings(), .cli = ""};
  const auto settings = server_api::resolve({}, files, [](const char*) -> const char* { return nullptr; });
  server_api::Client server(settings.account());
  try {
    if (const auto line = key_line(server.project(), blob)) client::write_answer(*line + "\n");
    return exit_status::kDone;
  } catch (const server_api::Failure& failure) {
    throw CommandError(exit_status::kFailed, failure.what());
  }
}

}  // namespace dstack::shim::relay
