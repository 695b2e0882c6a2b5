#include "shim/docker/host_credentials.h"

#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/docker/credential_helper.h"
#include "shim/docker/docker_config.h"

namespace dstack::shim::docker {

namespace {

constexpr std::size_t kConfigLimit = std::size_t{1} << 20;

DockerConfig read_config(const std::filesystem::path& file) {
  std::error_code failure;
  if (!std::filesystem::exists(file, failure) && !failure) return {};
  const std::string text = os::read_file(file, kConfigLimit);
  try {
    return parse_docker_config(text);
  } catch (const std::exception& error) {
    throw Error(dstack::error_kind(error), std::format("read {}: {}", file.string(), error.what()));
  }
}

}  // namespace

HostCredentials::Found HostCredentials::find(const ImageReference& image, const std::stop_token& stop) const {
  const std::string server = image.server_address();
  try {
    const DockerConfig config = read_config(file_);
    const std::string& helper = config.helper_for(server);
    if (helper.empty()) return {.credentials = config.find_login(server)};
    return {.credentials = ask_credential_helper(helper, server, stop, clock_)};
  } catch (const std::exception& error) {
    if (dstack::error_kind(error) == ErrorKind::cancelled) throw;
    return {.problem = error.what()};
  }
}

}  // namespace dstack::shim::docker
