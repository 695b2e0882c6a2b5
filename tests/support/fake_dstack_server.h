#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/http/server.h"
#include "common/server_api/client.h"
#include "tests/support/running_server.h"

namespace dstack::test {

// Stands in for a dstack server: answers each path with what was set for it, or with what a handler says, and keeps
// what was asked.
class FakeDstackServer {
 public:
  struct Answer {
    int status = 200;
    std::string body;
  };
  // Gets the path below /api/ and the body; nothing: as if it were not there. Called on the server's threads, one at a
  // time.
  using Handler = std::function<std::optional<Answer>(const std::string& path, const nlohmann::json& body)>;

  FakeDstackServer() {
    const auto answer = [this](const http::Request& request) { return respond(request); };
    for (const char* pattern : {"/api/{a}/{b}", "/api/{a}/{b}/{c}", "/api/{a}/{b}/{c}/{d}", "/api/{a}/{b}/{c}/{d}/{e}"})
      server_.post_json(pattern, answer);
    running_.emplace(server_);
  }

  void set(const std::string& path, int status, const nlohmann::json& body) { set_text(path, status, body.dump()); }
  void set_text(const std::string& path, int status, std::string body) {
    const std::scoped_lock lock(mutex_);
    answers_["/api/" + path] = {{status, std::move(body)}};
  }
  // For the calls after those that were set before.
  void then(const std::string& path, int status, const nlohmann::json& body) {
    const std::scoped_lock lock(mutex_);
    answers_["/api/" + path].push_back({status, body.dump()});
  }
  void handle(Handler handler) {
    const std::scoped_lock lock(mutex_);
    handler_ = std::move(handler);
  }

  server_api::Account account() const {
    return {
        .url = "http://127.0.0.1:" + std::to_string(running_->port()), .token = Secret("s3cret-token"), .project = "p"};
  }
  // [{"path", "authorization", "body"}], the body as text.
  nlohmann::json asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }
  // The bodies of the calls of one path.
  std::vector<nlohmann::json> bodies(const std::string& path) {
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& call : asked()) {
      if (call["path"] == "/api/" + path) found.push_back(nlohmann::json::parse(call["body"].get<std::string>()));
    }
    return found;
  }

  // A refusal of the server's.
  static nlohmann::json detail(const std::string& message, const std::string& code) {
    return {{"detail", nlohmann::json::array({{{"msg", message}, {"code", code}}})}};
  }

 private:
  http::Response respond(const http::Request& request) {
    const std::scoped_lock lock(mutex_);
    asked_.push_back({{"path", request.path},
                      {"authorization", request.header("authorization").value_or("")},
                      {"body", request.body}});
    const auto found = answers_.find(request.path);
    if (found != answers_.end()) {
      http::Response response{.status = found->second.front().status, .body = found->second.front().body};
      if (found->second.size() > 1) found->second.erase(found->second.begin());
      return response;
    }
    const auto handled =
        handler_ ? handler_(request.path.substr(5), nlohmann::json::parse(request.body)) : std::optional<Answer>();
    if (handled) return {.status = handled->status, .body = handled->body};
    return {.status = 404, .body = R"({"detail":"Not Found"})"};
  }

  std::mutex mutex_;
  std::map<std::string, std::vector<Answer>> answers_;
  Handler handler_;
  nlohmann::json asked_ = nlohmann::json::array();
  http::Server server_;
  std::optional<RunningServer> running_;
};

}  // namespace dstack::test
