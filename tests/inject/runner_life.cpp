#include "tests/inject/runner_life.h"

#include <sys/wait.h>

#include <format>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/file.h"
#include "tests/inject/free_port.h"
#include "tests/inject/poll.h"
#include "tests/support/loop_device.h"

namespace dstack::test {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr auto kWhileFailing = 5s;
constexpr auto kAfterRelief = 40s;

// $1 is a folder of its own; what follows is executed. /dstack and /etc are written by the runner.
constexpr const char* kInside = R"(
set -e
mount --make-rprivate /
mkdir -p /dstack "$1/etc" "$1/work"
mount -t tmpfs dstack /dstack
mount -t tmpfs overlay "$1/work"
mkdir "$1/work/upper" "$1/work/work"
mount -t overlay -o lowerdir=/etc,upperdir="$1/work/upper",workdir="$1/work/work" etc /etc
cd "$1"
shift
exec "$@")";

// The job of a runner that listens on `port`.
struct Job {
  int port;
  std::string end;      // state, reason and message of its last state
  std::string message;  // of that state
  std::string output;
  bool over = false;  // all has been pulled

  http::ClientResponse send(const std::string& method, const std::string& path, const std::string& body,
                            std::chrono::milliseconds limit, std::vector<std::string> headers = {}) const {
    http::Client client({.base_url = "http://127.0.0.1:" + std::to_string(port)});
    try {
      return client.send({.method = method,
                          .path = path,
                          .body = body,
                          .headers = std::move(headers),
                          .connect_limit = limit,
                          .total_limit = limit});
    } catch (const Error& error) {
      return {.status = 0, .headers = {}, .body = error.what()};
    }
  }

  // Whether the runner said that there is no more.
  bool pull(std::int64_t& timestamp, std::chrono::milliseconds limit) {
    const http::ClientResponse answer = send("GET", std::format("/api/pull?timestamp={}", timestamp), "", limit);
    const json page = json::parse(answer.body, nullptr, false);
    if (answer.status != 200 || page.is_discarded()) return false;
    for (const json& state : page["job_states"]) {
      message = state.value("termination_message", "");
      end = state["state"].get<std::string>();
      if (const std::string reason = state.value("termination_reason", ""); !reason.empty()) end += " " + reason;
    }
    for (const json& event : page["job_logs"]) output += event["message"].get<std::string>();
    timestamp = page["last_updated"].get<std::int64_t>();
    over = !page["has_more"].get<bool>();
    return over;
  }
};

std::string submission() {
  const json body{{"run",
                   {{"id", "run"},
                    {"run_spec",
                     {{"run_name", "run"},
                      {"repo_id", "repo"},
                      {"repo_data", {{"repo_type", "virtual"}}},
                      {"configuration", {{"type", "task"}}},
                      {"configuration_path", "dstack.yaml"}}}}},
                  {"job_spec",
                   {{"replica_num", 0},
                    {"job_num", 0},
                    {"jobs_per_replica", 1},
                    {"commands", json::array({"/bin/sh", "-c", "cat /dstack/work/repo/file"})},
                    {"env", json::object()},
                    {"working_dir", "/dstack/work"},
                    {"repo_dir", "/dstack/work/repo"},
                    {"repo_data", {{"repo_type", "virtual"}}}}},
                  {"job_submission", {{"id", "job"}}},
                  {"cluster_info",
                   {{"job_ips", json::array({""})},
                    {"master_job_ip", ""},
                    {"gpus_per_job", 0},
                    {"gpus_per_node", json::array({0})}}},
                  {"secrets", json::object()},
                  {"repo_credentials", nullptr}};
  return body.dump();
}

}  // namespace

RunnerLife::RunnerLife(std::filesystem::path runner) : binary_(std::move(runner)) {
  std::ofstream(folder_ / "file") << "output of the job\n";
  run({"tar", "-C", folder_.path().string(), "-cf", folder_ / "code.tar", "file"});
}

LifeResult RunnerLife::live(const Strike& strike) {
  LifeResult result;
  const auto problem = [&](const std::string& text) {
    result.problems.push_back(strike.describe() + " (system call " + result.outcome.first + "): " + text);
  };
  const TemporaryDirectory folder;
  std::filesystem::create_directory(folder / "temp");
  Job job{.port = free_port(), .end = {}, .message = {}, .output = {}};
  const std::vector<std::string> arguments{"/usr/bin/unshare",
                                           "--mount",
                                           "--pid",
                                           "--fork",
                                           "--kill-child",
                                           "--mount-proc",
                                           "/bin/sh",
                                           "-c",
                                           kInside,
                                           "sh",
                                           folder.path(),
                                           binary_,
                                           "start",
                                           "--temp-dir",
                                           folder / "temp",
                                           "--http-address",
                                           "localhost",
                                           "--http-port",
                                           std::to_string(job.port),
                                           "--ssh-port",
                                           std::to_string(free_port())};
  TracedProgram program(binary_, arguments, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
                        folder / "runner.log");
  if (!program.await_program() ||
      !poll_until(60s, [&] { return job.send("GET", "/api/healthcheck", "", 2s).status == 200; }))
    throw std::runtime_error("the runner did not start");

  const auto named = [&](const std::string& what, const std::string& text) {
    if (!names_cause(text, *strike.kind)) problem(std::format("{} does not name the cause: {}", what, text));
  };
  program.arm(*strike.kind, strike.nth, strike.sticky);
  std::int64_t timestamp = 0;
  result.ending = [&]() -> std::string {
    const auto submitted = job.send("POST", "/api/submit", submission(), kWhileFailing);
    if (submitted.status == 0) return "no answer to submit";
    if (submitted.status != 200) return std::format("submit refused ({}) ", submitted.status);
    const auto uploaded = job.send("POST", "/api/upload_code", os::read_file(folder_ / "code.tar"), kWhileFailing,
                                   {"Content-Type: application/octet-stream"});
    if (uploaded.status == 0) return "no answer to upload";
    if (uploaded.status != 200) {
      named("the refusal of the upload", uploaded.body);
      return std::format("upload refused ({})", uploaded.status);
    }
    const auto ran = job.send("POST", "/api/run", "", kWhileFailing);
    if (ran.status == 0) return "no answer to run";
    if (ran.status != 200) {
      named("the refusal of run", ran.body);
      return std::format("run refused ({})", ran.status);
    }
    poll_until(kWhileFailing, [&] { return job.pull(timestamp, kWhileFailing) || program.ended().has_value(); });
    return job.over ? job.end : "not over";
  }();
  result.outcome = program.disarm();

  // After relief the job comes to its end, by itself or by a stop.
  if (!job.over && !program.ended()) {
    job.send("POST", "/api/stop", "", 10s);
    if (!poll_until(kAfterRelief, [&] { return job.pull(timestamp, 10s) || program.ended().has_value(); }))
      problem("the job is not over after relief: " + result.ending);
  }
  if (!poll_until(kAfterRelief, [&] { return program.ended().has_value(); })) {
    problem("the runner does not exit after its logs were pulled");
    return result;
  }
  if (const auto crash = program.crashed()) {
    if (may_abort(strike)) return {.outcome = result.outcome, .ending = "aborted", .problems = {}};
    problem(std::format("the runner crashed: signal {}", *crash));
    return result;
  }
  const int ended = *program.ended();
  if (WIFSIGNALED(ended)) problem(std::format("the runner was ended by signal {}", WTERMSIG(ended)));
  if (WIFEXITED(ended) && WEXITSTATUS(ended) != 0) result.ending += std::format(", exit status {}", WEXITSTATUS(ended));
  if (result.outcome.reached != 0 && job.over && job.end.starts_with("failed"))
    named("the job's end", job.message + job.output);
  if (result.outcome.reached == 0) result.problems.clear();
  // Output that the disk does not take is lost, which costs the job nothing, but is logged; in a file, if that is not
  // on the same disk.
  if (job.end == "done" && job.output.empty() && !strike.sticky)
    named("the log of lost output", os::read_file(folder / "runner.log"));
  return result;
}

}  // namespace dstack::test
