#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

std::string program_path(std::string_view kind, std::string_view id, std::string_view rest) {
  return std::format("/{}/{}{}", kind, http::encode_url_component(id), rest);
}

// Engines before 23 ignore it: there a terminal has no size until the first resize().
void add_size(json& body, const Program& program) {
  if (program.terminal && program.rows > 0) body["ConsoleSize"] = json::array({program.rows, program.columns});
}

}  // namespace

std::string EngineClient::create_exec(const std::string& container, const Program& program, const Call& call) {
  const std::string attempt = "create a program in container " + container;
  json body{{"AttachStdin", program.input}, {"AttachStdout", true},     {"AttachStderr", true},
            {"Tty", program.terminal},      {"Cmd", program.arguments}, {"Env", program.environment}};
  if (!program.working_dir.empty()) body["WorkingDir"] = program.working_dir;
  if (!program.user.empty()) body["User"] = program.user;
  const json answer = parse_answer(
      attempt,
      send(attempt,
           {.method = "POST", .path = program_path("containers", container, "/exec"), .body = dstack::json::dump(body)},
           call, kQuickCall)
          .body);
  std::string id = dstack::json::text_member(answer, "Id");
  if (id.empty()) throw Error(ErrorKind::unavailable, attempt + ": the answer has no exec id");
  return id;
}

std::unique_ptr<http::Upgraded> EngineClient::start_exec(const std::string& exec, const Program& program,
                                                         const Call& call) {
  json body{{"Detach", false}, {"Tty", program.terminal}};
  add_size(body, program);
  return open_stream("start a program in a container",
                     {.method = "POST", .path = program_path("exec", exec, "/start"), .body = dstack::json::dump(body)},
                     call);
}

std::optional<int> EngineClient::exec_exit_code(const std::string& exec, const Call& call) {
  const std::string attempt = "look at a program in a container";
  const json answer =
      parse_answer(attempt, send(attempt, {.path = program_path("exec", exec, "/json")}, call, kQuickCall).body);
  if (!answer.is_object() || answer.value("Running", false)) return std::nullopt;
  const auto code = answer.find("ExitCode");
  return code != answer.end() && code->is_number_integer() ? std::optional(code->get<int>()) : std::nullopt;
}

void EngineClient::resize(Terminal of, const std::string& id, int rows, int columns, const Call& call) {
  const std::string rest = std::format("/resize?h={}&w={}", rows, columns);
  send("set the terminal's size",
       {.method = "POST", .path = program_path(of == Terminal::exec ? "exec" : "containers", id, rest)}, call,
       kQuickCall);
}

std::unique_ptr<http::Upgraded> EngineClient::attach(const std::string& container, bool input, const Call& call) {
  const std::string query = std::format("/attach?stream=1&stdout=1&stderr=1&stdin={}", input ? 1 : 0);
  return open_stream("attach to container " + container,
                     {.method = "POST", .path = program_path("containers", container, query)}, call);
}

void EngineClient::signal(const std::string& container, std::string_view name, const Call& call) {
  send("send a signal to container " + container,
       {.method = "POST", .path = program_path("containers", container, std::format("/kill?signal={}", name))}, call,
       kQuickCall);
}

void EngineClient::read_logs(const std::string& container, const LogSelection& selection,
                             const std::function<bool(StreamFrames::Stream, std::string_view)>& take,
                             const Call& call) {
  const std::string attempt = "read the output of container " + container;
  const std::optional<ContainerDetails> details = inspect(container, call);
  if (!details) throw Error(ErrorKind::not_found, attempt + ": no such container");
  std::string query = std::format("/logs?stdout=1&stderr=1&follow={}&tail={}&timestamps={}", selection.follow ? 1 : 0,
                                  selection.tail, selection.timestamps ? 1 : 0);
  if (selection.since) query += std::format("&since={}.{:03}", *selection.since / 1000, *selection.since % 1000);
  StreamFrames frames;
  bool wanted = true;
  send(attempt, {.path = program_path("containers", container, query)}, call, std::chrono::milliseconds{0}, {},
       [&](std::string_view piece) {
         if (details->tty) return take(StreamFrames::Stream::output, piece);
         frames.add(piece,
                    [&](StreamFrames::Stream stream, std::string_view part) { wanted = wanted && take(stream, part); });
         return wanted;
       });
}

}  // namespace dstack::shim::docker
