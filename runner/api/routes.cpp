#include "runner/api/routes.h"

#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/version.h"
#include "runner/api/schemas.h"
#include "runner/api/uploading.h"
#include "runner/metrics/collector.h"

namespace dstack::runner::api {

namespace {

using http::Request;
using http::Response;

bool has_ipv6_loopback() {
  const os::UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return socket && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

void add_routes(http::Server& server, job::Executor& executor, Logs& logs, ssh::ConnectionWatch& connections) {
  server.get("/api/healthcheck", [answer = Response::json({{"service", "dstack-runner"}, {"version", version()}})](
                                     const Request&) { return answer; });
  server.get("/api/metrics", [gpus = std::make_shared<metrics::GpuReader>()](const Request&) {
    const auto metrics = metrics::collect(*gpus);
    if (!metrics) throw Error(ErrorKind::not_found, "metrics: no control group of this container can be read");
    return Response::json(to_json(*metrics));
  });
  server.post_json(
      "/api/submit", [&executor](const Request&) { executor.check_submit_allowed(); },
      [&executor](const Request& request) {
        executor.submit(parse_submission(request.body));
        return Response::empty();
      });
  server.upload("/api/upload_archive", [&executor](const Request& request, http::BodyReader& body) {
    return upload_archive(executor, request, body);
  });
  server.upload("/api/upload_code",
                [&executor](const Request&, http::BodyReader& body) { return upload_code(executor, body); });
  server.post("/api/run", [&executor, &connections](const Request&) {
    const auto info = executor.run();
    connections.start();
    return info ? Response::json(to_json(*info)) : Response::empty();
  });
  server.get("/api/pull", [&logs, &connections](const Request& request) {
    Response response;
    response.content_type = "application/json";
    response.stream = logs.pull(request.query_integer("timestamp"), connections.seconds_without());
    return response;
  });
  server.post("/api/stop", [&executor](const Request& request) {
    if (const auto message = parse_interruption(request.body)) {
      return Response::json(to_json(executor.interrupt(*message)));
    }
    executor.stop();
    return Response::empty();
  });
  server.post_json("/api/notice", [&executor](const Request& request) {
    executor.notice(parse_notice(request.body));
    return Response::empty();
  });
}

int bind(http::Server& server, const std::string& address, int port) {
  if (address != "localhost") {
    return server.bind(address, port);
  }
  const int actual = server.bind("127.0.0.1", port);
  if (has_ipv6_loopback()) server.bind("::1", actual);
  return actual;
}

}  // namespace dstack::runner::api
