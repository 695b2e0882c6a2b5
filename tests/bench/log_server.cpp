// The runner's logs and their two ways out, with a command on a terminal and nothing else of the runner:
//   bench_log_server FOLDER PORT COMMAND [ARGUMENT…]
// Serves /logs_ws and /api/pull on 127.0.0.1:PORT, 0 for a free one. Prints "port N"; waits for a line on its standard
// input and starts the command; prints "took SECONDS BYTES" when it has ended; "memory KB" and "cpu SECONDS" once
// another line comes; leaves at the end of its input. The bare loop that it is measured against, which does no more
// than it must:
//   bench_log_server --bare FILE COMMAND [ARGUMENT…]

#include <fcntl.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <print>
#include <string>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/http/server.h"
#include "common/log/log.h"
#include "common/os/signals.h"
#include "runner/api/log_stream.h"
#include "runner/job/terminal_reader.h"
#include "runner/logs/job_log.h"
#include "runner/logs/logs.h"

namespace {

using namespace dstack;

struct Child {
  os::UniqueFd terminal;
  pid_t process = 0;
};

Child start(char** command) {
  int terminal = -1;
  const pid_t process = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (process < 0) throw os_error("start", command[0]);
  if (process == 0) {
    ::execvp(command[0], command);
    ::_exit(127);
  }
  return {.terminal = os::UniqueFd(terminal), .process = process};
}

// Calls `read_all`, which reads the terminal to its end, and says how long that took and how much it was.
template <typename ReadAll>
void follow(const Child& child, ReadAll read_all) {
  const auto began = std::chrono::steady_clock::now();
  const std::uint64_t total = read_all();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  ::waitpid(child.process, nullptr, 0);
  std::println("took {:.3f} {}", took.count(), total);
  std::fflush(stdout);
}

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return line.substr(field.size() + 1);
  }
  return "";
}

void bare(const char* file, char** command) {
  const os::UniqueFd log(::open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const Child child = start(command);
  follow(child, [&] {
    std::vector<char> buffer(65536);
    std::uint64_t total = 0;
    while (true) {
      const ssize_t count = ::read(child.terminal.get(), buffer.data(), buffer.size());
      if (count <= 0) return total;
      if (::write(log.get(), buffer.data(), static_cast<std::size_t>(count)) != count) std::abort();
      total += static_cast<std::uint64_t>(count);
    }
  });
  std::println("cpu {:.3f}", cpu_seconds());
}

void serve(const char* folder, int port, char** command) {
  runner::Logs logs(folder);
  const spdlog::sink_ptr sink = logs.runner_log_sink();
  log::add_sink(sink);
  runner::LogStream stream(logs);
  http::Server server;
  stream.add_route(server);
  server.get("/api/pull", [&logs](const http::Request& request) {
    const auto after = request.query.find("timestamp");
    http::Response response;
    response.content_type = "application/json";
    response.stream = logs.pull(after == request.query.end() ? 0 : std::atoll(after->second.c_str()), std::nullopt);
    return response;
  });
  std::println("port {}", server.bind("127.0.0.1", port));
  std::fflush(stdout);
  std::thread serving([&server] { server.run(); });
  std::string line;
  if (std::getline(std::cin, line)) {
    std::thread job([&] {
      logs.add_state({.state = "running"});
      const Child child = start(command);
      ::fcntl(child.terminal.get(), F_SETFL, O_NONBLOCK);
      follow(child, [&] {
        runner::job::TerminalReader reader(child.terminal.get(),
                                           [&logs](std::string_view output) { logs.append(output); });
        siginfo_t end{};
        ::waitid(P_PID, static_cast<id_t>(child.process), &end, WEXITED | WNOWAIT);
        reader.finish();
        return logs.job_log().size();
      });
      logs.finish({.state = "done", .exit_status = 0});
    });
    while (std::getline(std::cin, line)) {
      std::println("memory{} peak{} cpu {:.3f} drained {}", memory("VmRSS"), memory("VmHWM"), cpu_seconds(),
                   logs.drained());
      std::fflush(stdout);
    }
    job.join();
  }
  server.stop();
  server.close_connections();
  serving.join();
  log::remove_sink(sink);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 2;
  log::set_up(spdlog::level::info, log::Stream::standard_error, std::nullopt);
  os::ignore_broken_pipes();
  if (std::string_view(arguments[1]) == "--bare") {
    bare(arguments[2], arguments + 3);
  } else {
    serve(arguments[1], std::atoi(arguments[2]), arguments + 3);
  }
  return 0;
}
