#include "shim/aws/server_file.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"
#include "common/server_api/settings.h"
#include "common/yaml/document.h"
#include "common/yaml/edit.h"

namespace dstack::shim::aws {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kSizeLimit = std::size_t{4} << 20;

// A socket can be bound to the machine's own addresses only.
bool is_own_address(const addrinfo& address) {
  const os::UniqueFd socket(::socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket && ::bind(socket.get(), address.ai_addr, address.ai_addrlen) == 0;
}

bool is_this_machine(const std::string& url) {
  if (server_api::is_loopback_url(url)) return true;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(server_api::host_of_url(url).c_str(), nullptr, &wanted, &list) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> freed(list, ::freeaddrinfo);
  for (const addrinfo* address = list; address != nullptr; address = address->ai_next) {
    if (is_own_address(*address)) return true;
  }
  return false;
}

// The server may run as another user than the one who calls this.
void replace_keeping_owner(const std::filesystem::path& file, const std::string& text) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) throw os_error("look at", file.string());
  os::write_file_atomic(file, text, 0600);
  if (::chown(file.c_str(), status.st_uid, status.st_gid) != 0) throw os_error("change the owner of", file.string());
}

}  // namespace

ServerFile::Outcome ServerFile::set(const std::string& project, const std::optional<ordered_json>& settings) const {
  try {
    return try_set(project, settings);
  } catch (const std::exception& error) {
    return {.state = State::left, .reason = error.what()};
  }
}

ServerFile::Outcome ServerFile::try_set(const std::string& project, const std::optional<ordered_json>& settings) const {
  std::error_code failure;
  if (!path_ || !std::filesystem::exists(*path_, failure)) return {};
  const std::filesystem::path file = std::filesystem::canonical(*path_, failure);
  if (failure) throw Error(ErrorKind::internal, std::format("look at {}: {}", path_->string(), failure.message()));
  const std::string before = os::read_file(file, kSizeLimit);
  const auto after = yaml::with_item(
      before,
      {{.list = "projects", .key = "name", .value = project}, {.list = "backends", .key = "type", .value = "aws"}},
      settings, file.string());
  if (!after) return {};
  if (yaml::parse(*after, file.string()) == yaml::parse(before, file.string()))
    return {.state = State::unchanged, .reason = {}};
  if (yaml::has_comments_or_anchors(before, file.string())) {
    return {.state = State::left,
            .reason = std::format("{} has comments or anchors, which rewriting it would lose", file.string())};
  }
  std::filesystem::path copy = file;
  copy += ".bak";
  os::write_file_atomic(copy, before, 0600);
  replace_keeping_owner(file, *after);
  return {.state = State::written, .reason = {}};
}

std::string ServerFile::name() const {
  return path_ ? path_->string() : "~/.dstack/server/config.yml on the server's machine";
}

ServerFile server_file(const std::string& given, const std::string& url) {
  std::error_code failure;
  if (!given.empty()) {
    if (!std::filesystem::is_regular_file(given, failure))
      throw CommandError(exit_status::kConfiguration, std::format("--server-config {}: there is no such file", given));
    return ServerFile(given);
  }
  if (!is_this_machine(url)) return ServerFile(std::nullopt);
  return ServerFile(server_api::own_settings_file().parent_path() / "server/config.yml");
}

}  // namespace dstack::shim::aws
