#include "shim/api/drain_routes.h"

#include <nlohmann/json.hpp>

#include "common/json/object_reader.h"

namespace dstack::shim::api {

void add_drain_routes(http::Server& server, Drain& drain) {
  server.post_json("/local/drain", [&drain](const http::Request& request) {
    const nlohmann::json body = dstack::json::parse_object(request.body);
    drain.begin(dstack::json::ObjectReader(body).string("reason"));
    return http::Response::empty();
  });
  server.post("/local/undrain", [&drain](const http::Request&) {
    drain.end();
    return http::Response::empty();
  });
}

}  // namespace dstack::shim::api
