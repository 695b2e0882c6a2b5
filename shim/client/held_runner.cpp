#include "shim/client/held_runner.h"

#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/text/base64.h"
#include "common/text/trim.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds kHealthLimit{2};
constexpr std::chrono::seconds kStopLimit{5};

Error refusal(const http::ClientResponse& response, const std::string& path) {
  const auto kind = [&] {
    switch (response.status) {
      case 400: return ErrorKind::invalid;
      case 404: return ErrorKind::not_found;
      case 409: return ErrorKind::conflict;
      case 413: return ErrorKind::too_large;
      default: return ErrorKind::unavailable;
    }
  }();
  const std::string message(text::trim(response.body));
  return {kind, message.empty() ? std::format("the runner answered {} to {}", response.status, path) : message};
}

std::string authorization(const Secret& token) { return "Authorization: Bearer " + token.reveal(); }

}  // namespace

HeldRunner::HeldRunner(int port, Secret token)
    : client_(std::make_unique<http::Client>(http::Endpoint{.base_url = std::format("http://127.0.0.1:{}", port)})),
      token_(std::move(token)) {}

bool HeldRunner::answers() {
  try {
    return client_->send({.path = "/api/healthcheck", .total_limit = kHealthLimit}).status == 200;
  } catch (const std::exception&) {
    return false;
  }
}

ProgramEnd HeldRunner::run(const Program& program, const ExecFrames::Take& take, const std::stop_token& stop) {
  nlohmann::json body = {{"id", program.id}, {"argv", program.arguments}, {"env", program.environment}};
  if (!program.working_dir.empty()) body["working_dir"] = program.working_dir;
  if (!program.user.empty()) body["user"] = program.user;
  if (!program.input.empty()) body["input"] = text::base64(program.input);
  const std::string path = "/api/exec";
  ExecFrames frames;
  const http::ClientResponse response = client_->stream(
      {.method = "POST", .path = path, .body = dstack::json::dump(body), .headers = {authorization(token_)}},
      [&](std::string_view piece) {
        frames.read(piece, take);
        return true;
      },
      stop);
  if (response.status != 200) throw refusal(response, path);
  if (const auto& end = frames.end()) return *end;
  throw Error(ErrorKind::unavailable, "the runner's answer ended early: its container is gone");
}

bool HeldRunner::stop(const std::string& id, const std::string& signal, std::chrono::seconds grace) {
  const nlohmann::json body = {{"signal", signal}, {"grace", grace.count()}};
  const std::string path = std::format("/api/exec/{}/stop", http::encode_url_component(id));
  const http::ClientResponse response = client_->send({.method = "POST",
                                                       .path = path,
                                                       .body = dstack::json::dump(body),
                                                       .headers = {authorization(token_)},
                                                       .total_limit = kStopLimit});
  if (response.status != 200 && response.status != 404) throw refusal(response, path);
  return response.status == 200;
}

}  // namespace dstack::shim::client
