#include "runner/exec/held.h"

#include <openssl/crypto.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <format>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/server.h"
#include "common/log/log.h"
#include "common/os/file.h"
#include "common/os/idle_memory.h"
#include "common/os/reaper.h"
#include "common/os/remove_tree.h"
#include "common/os/signals.h"
#include "common/secret.h"
#include "common/text/trim.h"
#include "common/version.h"
#include "runner/api/routes.h"
#include "runner/api/schemas.h"
#include "runner/api/serving.h"
#include "runner/container.h"
#include "runner/exec/executions.h"
#include "runner/metrics/collector.h"

namespace dstack::runner::exec {

namespace {

using http::Request;
using http::Response;

constexpr const char* kHealthCheck = "/api/healthcheck";
constexpr std::size_t kRequestLimit = std::size_t{16} << 20;
// A reader that is slow slows its program, and one that does not read for so long has gone.
constexpr std::chrono::hours kWriteTimeout{1};

// Whoever comes later finds no file.
Secret take_token(const std::filesystem::path& file) {
  if (file.empty()) return {};
  const std::string text = os::read_file(file, 4096);
  os::remove_file(file);
  Secret token{std::string(text::trim(text))};
  if (token.empty()) throw Error(ErrorKind::invalid, "the token file " + file.string() + " is empty");
  return token;
}

// How long the comparison takes tells nothing of the token.
bool equal(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

void require_token(http::Server& server, const Secret& token) {
  if (token.empty()) return;
  server.guard([token = token](const Request& request) -> std::optional<Response> {
    if (request.path == kHealthCheck) return std::nullopt;
    if (equal(request.header("authorization").value_or(""), "Bearer " + token.reveal())) return std::nullopt;
    return Response::text(401, "the runner's token is missing or wrong\n");
  });
}

void refuse_jobs(http::Server& server) {
  const auto refuse = [](const Request&) -> Response {
    throw Error(ErrorKind::conflict, "this runner holds its container and runs no job");
  };
  for (const char* path : {"/api/submit", "/api/run", "/api/notice", "/api/upload_archive", "/api/upload_code"}) {
    server.upload(path, [refuse](const Request& request, http::BodyReader&) { return refuse(request); });
  }
  server.get("/api/pull", refuse);
  server.get("/logs_ws", refuse);
}

std::string read_body(http::BodyReader& reader) {
  std::string body;
  bool too_large = false;
  reader.read([&](std::string_view piece) {
    // Read to its end all the same: a caller that is still sending would not see the answer.
    too_large = too_large || body.size() + piece.size() > kRequestLimit;
    if (!too_large) body += piece;
  });
  if (too_large)
    throw Error(ErrorKind::too_large, std::format("the request's body is larger than {} bytes", kRequestLimit));
  return body;
}

void add_routes(http::Server& server, Executions& executions, const os::UniqueFd& asked_to_stop) {
  server.get(kHealthCheck,
             [](const Request&) { return Response::json({{"service", "dstack-runner"}, {"version", version()}}); });
  server.get("/api/metrics", [gpus = std::make_shared<metrics::GpuReader>()](const Request&) {
    const auto metrics = metrics::collect(*gpus);
    if (!metrics) throw Error(ErrorKind::not_found, "metrics: no control group of this container can be read");
    return Response::json(api::to_json(*metrics));
  });
  server.post("/api/stop", [&asked_to_stop](const Request&) {
    ::eventfd_write(asked_to_stop.get(), 1);
    return Response::empty();
  });
  server.upload("/api/exec", [&executions](const Request&, http::BodyReader& body) {
    try {
      return executions.start(read_exec(read_body(body), job::own_environment()));
    } catch (const NoSuchProgram& error) {
      throw Error(ErrorKind::not_found, error.what());
    }
  });
  server.post_json("/api/exec/{id}/stop", [&executions](const Request& request) {
    executions.stop(request.path_parameters.find("id")->second, read_stop(request.body));
    return Response::empty();
  });
}

// Until a signal that means "leave", or a request. Reaps what the container's processes leave to its first one.
void wait(const os::UniqueFd& signals, const os::UniqueFd& asked_to_stop) {
  while (true) {
    std::array<pollfd, 2> waiting{{{.fd = signals.get(), .events = POLLIN, .revents = 0},
                                   {.fd = asked_to_stop.get(), .events = POLLIN, .revents = 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) throw os_error("wait for", "a stop");
    if (waiting[1].revents != 0) return;
    if (waiting[0].revents == 0) continue;
    const int signal = os::next_signal(signals);
    if (signal != SIGCHLD) {
      spdlog::info("Signal {}: stopping the running programs", signal);
      return;
    }
    os::reap_orphans();
  }
}

}  // namespace

void hold(const Options& options) {
  os::ignore_broken_pipes();
  const os::UniqueFd signals = os::block_and_watch({SIGCHLD, SIGTERM, SIGINT, SIGQUIT});
  os::make_directories(options.temp_dir, 0755);
  log::set_up(options.log_level, log::Stream::standard_output, options.temp_dir / "default.log");
  prepare_held_container();
  const Secret token = take_token(options.token_file);
  const os::UniqueFd asked_to_stop(::eventfd(0, EFD_CLOEXEC));
  if (!asked_to_stop) throw os_error("create an event descriptor", "");
  os::adopt_orphans();

  Executions executions;
  http::Server server({.write_timeout = kWriteTimeout});
  require_token(server, token);
  refuse_jobs(server);
  add_routes(server, executions, asked_to_stop);
  const int port = api::bind(server, options.http_address, options.http_port);
  spdlog::info("dstack-runner {} holds its container, port {}", version(), port);
  const api::Serving serving(server);
  os::give_back_idle_memory();
  wait(signals, asked_to_stop);
  executions.end_all();
}

}  // namespace dstack::runner::exec
