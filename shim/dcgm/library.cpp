#include "shim/dcgm/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <format>

#include "common/error.h"

namespace dstack::shim::dcgm {

namespace {

constexpr unsigned connect_limit_ms = 10000;

std::string text_of(const std::array<char, 1024>& message) {
  return {message.begin(), std::ranges::find(message, '\0')};
}

template <typename Response>
HealthReport read(const Response& response) {
  HealthReport report{.overall_health = static_cast<int>(response.overall_health)};
  const std::size_t count = std::min<std::size_t>(response.incident_count, response.incidents.size());
  for (std::size_t i = 0; i < count; ++i) {
    const abi::Incident& incident = response.incidents[i];
    report.incidents.push_back({.system = static_cast<int>(incident.system),
                                .health = static_cast<int>(incident.health),
                                .error_message = text_of(incident.message),
                                .error_code = static_cast<int>(incident.code),
                                .entity_group_id = static_cast<int>(incident.entity_group_id),
                                .entity_id = static_cast<int>(incident.entity_id)});
  }
  return report;
}

}  // namespace

Library::Library() {
  if (open("libdcgm.so.4")) {
    ask_ = [this] { return ask<abi::HealthResponse5>(); };
  } else if (open("libdcgm.so.3")) {
    ask_ = [this] { return ask<abi::HealthResponse4>(); };
  } else {
    throw Error(ErrorKind::not_found, "neither libdcgm.so.4 nor libdcgm.so.3 is installed");
  }
}

bool Library::open(const char* name) {
  // Global, since it opens further parts of itself that want its symbols.
  library_.reset(::dlopen(name, RTLD_LAZY | RTLD_GLOBAL));
  return library_ != nullptr;
}

template <typename Function>
Function Library::find(const char* name) const {
  void* const symbol = ::dlsym(library_.get(), name);
  if (symbol == nullptr) throw Error(ErrorKind::unavailable, std::format("libdcgm has no {}", name));
  return std::bit_cast<Function>(symbol);
}

void Library::require(abi::Return result, const std::string& attempt) const {
  if (result == 0) return;
  const char* const words = find<abi::ErrorString>("errorString")(result);
  throw Error(ErrorKind::unavailable,
              std::format("{}: {} ({})", attempt, words != nullptr ? words : "unknown error", result));
}

void Library::start(const std::string& address) {
  require(find<abi::Init>("dcgmInit")(), "set up DCGM");
  if (address.empty()) {
    require(find<abi::StartEmbedded>("dcgmStartEmbedded")(abi::automatic, &handle_), "start DCGM's host engine");
  } else {
    const bool is_socket = address.starts_with('/');
    abi::ConnectParameters parameters{.timeout_ms = connect_limit_ms, .address_is_unix_socket = is_socket ? 1U : 0U};
    require(find<abi::Connect>("dcgmConnect_v2")(address.c_str(), &parameters, &handle_),
            std::format("connect to DCGM's host engine at {}", address));
  }
  health_check_ = find<abi::HealthCheck>("dcgmHealthCheck");
  require(find<abi::HealthSet>("dcgmHealthSet")(handle_, abi::all_gpus, abi::all_watches), "switch DCGM's watches on");
  // The first look only sets up what later ones are compared with.
  check();
}

HealthReport Library::check() { return ask_(); }

template <typename Response>
HealthReport Library::ask() {
  const auto response = std::make_unique<Response>();  // a megabyte
  require(health_check_(handle_, abi::all_gpus, response.get()), "ask DCGM for the GPUs' health");
  return read(*response);
}

}  // namespace dstack::shim::dcgm
