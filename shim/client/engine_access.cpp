#include "shim/client/engine_access.h"

#include <format>
#include <string_view>

#include "common/error.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds kResizeLimit{2};
constexpr std::chrono::seconds kExitWait{2};

docker::EngineAddress address_of(ShimApi& shim) {
  constexpr std::string_view kScheme = "unix://";
  const std::string address = shim.engine_address();
  // Of another kind the certificates are this user's own.
  return address.starts_with(kScheme) ? docker::engine_at_socket(address.substr(kScheme.size()))
                                      : docker::engine_address();
}

}  // namespace

std::unique_ptr<docker::EngineClient> reach_engine(ShimApi& shim) {
  auto engine = std::make_unique<docker::EngineClient>(address_of(shim));
  try {
    engine->connect();
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("{}; this needs access to the Docker engine itself: as root, or as a member "
                                          "of the group that owns its socket",
                                          error.what()));
  }
  return engine;
}

StdioStream::Resize resize_of(docker::EngineClient& engine, docker::EngineClient::Terminal of, std::string id) {
  return [&engine, of, id = std::move(id)](TerminalSize size) {
    try {
      engine.resize(of, id, size.rows, size.columns, {.limit = kResizeLimit});
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
}

bool runs_on(docker::EngineClient& engine, const std::string& container) {
  try {
    engine.wait(container, {.limit = kExitWait});
    return false;
  } catch (const std::exception& error) {
    return error_kind(error) == ErrorKind::timed_out;
  }
}

}  // namespace dstack::shim::client
