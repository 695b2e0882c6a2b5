#include "tests/inject/shim_life.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <format>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/error.h"
#include "tests/inject/free_port.h"
#include "tests/inject/poll.h"

namespace dstack::test {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr auto kWhileFailing = 3s;  // for each thing that is waited for
constexpr auto kAfterRelief = 45s;  // longer than any pause between attempts
const std::string image = "app:1";

std::size_t entries_of(const std::filesystem::path& folder) {
  std::error_code failure;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure))
    ++count;
  return count;
}

}  // namespace

ShimLife::ShimLife(std::filesystem::path shim, std::string user) : binary_(std::move(shim)), user_(std::move(user)) {
  engine_.add_image(image);
  const std::filesystem::path runner = folder_ / "runner";
  std::ofstream(runner) << "#!/bin/sh\necho dstack-runner version latest\n";
  ::chmod(runner.c_str(), 0755);
  start();
}

void ShimLife::start() {
  program_.reset();
  port_ = free_port();
  const std::vector<std::string> arguments{
      binary_,           "--shim-home", home_, "--shim-http-port", std::to_string(port_), "--runner-binary-path",
      folder_ / "runner"};
  const std::vector<std::string> environment{"DOCKER_HOST=unix://" + engine_.socket_path(),
                                             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + folder_.path().string()};
  program_ = std::make_unique<TracedProgram>(binary_, arguments, environment, folder_ / "shim.log");
  if (!program_->await_program() || !poll_until(60s, [this] { return is_up(); }))
    throw std::runtime_error("the shim did not start");
  // Fills caches and pools, with more at once than a struck life ever has.
  warm_up();
  const std::string proc = "/proc/" + std::to_string(program_->pid());
  descriptors_ = threads_ = 0;
  poll_until(20s, [&, since = std::chrono::steady_clock::now()]() mutable {
    const std::size_t descriptors = entries_of(proc + "/fd");
    const std::size_t threads = entries_of(proc + "/task");
    if (descriptors != descriptors_ || threads != threads_) since = std::chrono::steady_clock::now();
    descriptors_ = descriptors;
    threads_ = threads;
    return std::chrono::steady_clock::now() - since > 3s;
  });
}

bool ShimLife::is_up() { return call("GET", "/api/healthcheck", {}, 2s).status == 200; }

ShimLife::Answer ShimLife::call(const std::string& method, const std::string& path, const json& body,
                                std::chrono::milliseconds limit) {
  http::Client client({.base_url = "http://127.0.0.1:" + std::to_string(port_)});
  try {
    const http::ClientResponse answer = client.send({.method = method,
                                                     .path = path,
                                                     .body = body.is_null() ? "" : body.dump(),
                                                     .connect_limit = limit,
                                                     .total_limit = limit});
    return {.status = answer.status, .text = answer.body};
  } catch (const Error& error) {
    return {.status = 0, .text = error.what()};
  }
}

json ShimLife::config(const std::string& id) const {
  json config{{"id", id}, {"name", "inject"}, {"image_name", image}, {"network_mode", "bridge"}};
  config["instance_mounts"] =
      json::array({{{"instance_path", (folder_ / "instance" / id).string()}, {"path", "/instance"}}});
  if (!user_.empty()) {
    config["host_ssh_user"] = user_;
    config["host_ssh_keys"] = json::array({"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI " + id});
  }
  return config;
}

ShimLife::Answer ShimLife::submit(const std::string& id, std::chrono::milliseconds limit) {
  return call("POST", "/api/tasks", config(id), limit);
}

ShimLife::Answer ShimLife::terminate(const std::string& id, std::chrono::milliseconds limit) {
  return call("POST", "/api/tasks/" + id + "/terminate",
              {{"termination_reason", "aborted_by_user"}, {"termination_message", ""}, {"timeout", 0}}, limit);
}

ShimLife::Answer ShimLife::remove(const std::string& id, std::chrono::milliseconds limit) {
  return call("POST", "/api/tasks/" + id + "/remove", {}, limit);
}

// Null if there is no answer.
json ShimLife::await_start(const std::string& id, std::chrono::milliseconds limit) {
  json info;
  poll_until(limit, [&] {
    const Answer answer = call("GET", "/api/tasks/" + id, {}, limit);
    info = answer.status == 200 ? json::parse(answer.text) : json();
    return !info.is_null() && (info["status"] == "running" || info["status"] == "terminated");
  });
  return info;
}

// A life while calls fail; how it ended.
std::string ShimLife::struck(const std::string& id, const Strike& strike, LifeResult& result) {
  const auto named = [&](const std::string& what, const std::string& text) {
    if (!names_cause(text, *strike.kind))
      result.problems.push_back(std::format("{}: {} does not name the cause: {}", strike.describe(), what, text));
  };
  const Answer submitted = submit(id, kWhileFailing);
  if (submitted.status == 0) return "no answer to submit";
  if (submitted.status != 200) {
    named("the refusal of submit", submitted.text);
    return std::format("submit refused ({})", submitted.status);
  }
  std::string ending = "unharmed";
  const json info = await_start(id, kWhileFailing);
  if (info.is_null()) {
    ending = "no answer to get";
  } else if (info["status"] == "terminated") {
    named("the termination message", info["termination_message"].get<std::string>());
    ending = info["termination_reason"].get<std::string>();
  } else if (info["status"] != "running") {
    ending = "waits";
  }
  const Answer terminated = terminate(id, kWhileFailing);
  if (terminated.status == 500) named("the failure of terminate", terminated.text);
  if (terminated.status != 200) ending = std::format("terminate failed ({})", terminated.status);
  const Answer removed = remove(id, kWhileFailing);
  if (removed.status == 500) named("the failure of remove", removed.text);
  if (removed.status != 200 && terminated.status == 200) ending = std::format("remove failed ({})", removed.status);
  return ending;
}

// After relief the task can be removed as a server would.
bool ShimLife::recover(const std::string& id) {
  return poll_until(kAfterRelief, [&] {
    const int status = call("GET", "/api/tasks/" + id, {}, 10s).status;
    if (status == 404) return true;
    if (status == 200 && terminate(id, 10s).status == 200) remove(id, 10s);
    return false;
  });
}

// What is wrong; empty if nothing is.
std::string ShimLife::plain_life() { return plain_life(std::format("plain-{}", ++tasks_)); }

std::string ShimLife::plain_life(const std::string& id) {
  if (const Answer answer = submit(id, 20s); answer.status != 200) return "submit: " + answer.text;
  const json info = await_start(id, 20s);
  if (info.is_null() || info["status"] != "running") return "the task does not run: " + info.dump();
  if (const Answer answer = terminate(id, 20s); answer.status != 200) return "terminate: " + answer.text;
  if (const Answer answer = remove(id, 20s); answer.status != 200) return "remove: " + answer.text;
  return {};
}

void ShimLife::warm_up() {
  std::vector<std::future<std::string>> lives(4);
  for (auto& life : lives) life = std::async(std::launch::async, [this] { return plain_life(); });
  for (auto& life : lives) {
    if (const std::string problem = life.get(); !problem.empty())
      throw std::runtime_error("without a fault: " + problem);
  }
}

std::string ShimLife::left() const {
  const std::string proc = "/proc/" + std::to_string(program_->pid());
  std::string found;
  const auto compare = [&found](const std::string& what, std::size_t now, std::size_t before) {
    if (now > before) found += std::format("{}{} {} instead of {}", found.empty() ? "" : ", ", what, now, before);
  };
  compare("descriptors", entries_of(proc + "/fd"), descriptors_);
  compare("threads", entries_of(proc + "/task"), threads_);
  compare("containers", engine_.containers().size(), 0);
  compare("folders of runners", entries_of(home_ / "runners"), 0);
  compare("folders of tasks", entries_of(home_ / "tasks"), 0);
  return found;
}

std::string ShimLife::left_at_last() const {
  std::string found;
  poll_until(30s, [&] { return (found = left()).empty(); });
  return found;
}

LifeResult ShimLife::live(const Strike& strike) {
  LifeResult result;
  const std::string id = std::format("struck-{}", ++tasks_);
  program_->arm(*strike.kind, strike.nth, strike.sticky);
  result.ending = struck(id, strike, result);
  result.outcome = program_->disarm();
  const auto problem = [&](const std::string& text) {
    result.problems.push_back(strike.describe() + " (system call " + result.outcome.first + "): " + text);
  };
  if (const auto ended = program_->ended()) {
    const bool aborted = program_->crashed() && may_abort(strike);
    result.ending = aborted ? "aborted" : "the shim ended";
    if (!aborted) {
      problem(std::format("the shim ended: {} {}", WIFSIGNALED(*ended) ? "signal" : "status",
                          program_->crashed().value_or(WIFSIGNALED(*ended) ? WTERMSIG(*ended) : WEXITSTATUS(*ended))));
    }
    // As systemd does. The task is one of the next shim's.
    start();
    if (!recover(id)) problem("the task could not be removed after a restart");
    return result;
  }
  if (result.outcome.reached == 0) result.problems.clear();
  // A request that the shim did not accept waits in its socket's queue, and may still become a task. The next one is
  // behind it, and says whether it has.
  if (result.ending == "no answer to submit") {
    const Answer again = submit(id, 20s);
    if (again.status != 200 && again.status != 409) problem("again, after relief: " + again.text);
  }
  if (!recover(id)) problem("the task could not be removed after relief");
  // As a server does with a task that was refused.
  if (result.ending.starts_with("submit refused")) {
    if (const std::string found = plain_life(id); !found.empty()) problem("again, after relief: " + found);
  }
  if (const std::string found = plain_life(); !found.empty()) problem("after relief: " + found);
  if (const std::string found = left_at_last(); !found.empty()) {
    problem("left: " + found);
    start();
  }
  return result;
}

}  // namespace dstack::test
