#include <unistd.h>

#include <CLI/CLI.hpp>
#include <format>
#include <iostream>
#include <memory>
#include <stop_token>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/text/number.h"
#include "shim/client/age.h"
#include "shim/client/engine_access.h"
#include "shim/client/find_task.h"
#include "shim/client/job_output.h"
#include "shim/client/line_times.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

// Returns how the task was seen last.
TaskEntry follow(ShimApi& shim, TaskEntry task, JobOutput& output) {
  try {
    while (true) {
      // In this order: what a task that has ended wrote is all there.
      task = shim.task(task.id);
      if (!output.print_all() || task.ended()) return task;
      os::pause(os::system_clock(), kPollInterval, {});
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    std::cerr << "the task was removed\n";
    return task;
  }
}

std::string check_tail(const std::string& text) {
  return text == "all" || text::is_digits(text) ? std::string() : "neither a number nor all: " + text;
}

std::string check_moment(const std::string& text) {
  return parse_moment(text, os::system_clock()) ? std::string() : "not a time: " + text;
}

bool selects(const LogsOptions& options) {
  return options.tail != "all" || !options.since.empty() || options.timestamps;
}

// Makes `output` begin where it is asked for, with times before its lines if those are; false if there is nothing.
bool select(ShimApi& shim, const TaskEntry& task, JobOutput& output, const LogsOptions& options) {
  if (!options.since.empty()) {
    const auto since = parse_moment(options.since, os::system_clock());
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the command line was checked
    const auto position = LineTimes(shim, task.id).position_at(since.value());
    if (position) {
      output.begin_at(*position);
    } else if (options.follow) {
      output.skip_all();
    } else {
      return false;
    }
  }
  if (options.tail != "all") {
    output.skip_to_last_lines(text::parse_number<std::size_t>(options.tail).value_or(SIZE_MAX));
  }
  if (options.timestamps) {
    const auto times = std::make_shared<LineTimes>(shim, task.id);
    output.put_before_lines([times](std::uint64_t position) {
      // The latest lines may be ahead of their times, by a moment.
      const auto now =
          std::chrono::duration_cast<std::chrono::milliseconds>(os::system_clock().wall().time_since_epoch());
      return utc_text_with_milliseconds(times->time_of(position).value_or(now.count())) + " ";
    });
  }
  return true;
}

// What the engine keeps of a program's output has times of its own.
int show_engine_logs(ShimApi& shim, const TaskEntry& task, const LogsOptions& options) {
  const auto engine = reach_engine(shim);
  docker::LogSelection selection{.follow = options.follow, .tail = options.tail, .timestamps = options.timestamps};
  if (!options.since.empty()) selection.since = parse_moment(options.since, os::system_clock());
  engine->read_logs(task.container_id, selection, [](docker::StreamFrames::Stream stream, std::string_view piece) {
    return write_answer(piece, stream == docker::StreamFrames::Stream::errors ? STDERR_FILENO : STDOUT_FILENO);
  });
  return exit_status::kDone;
}

}  // namespace

CLI::App* add_logs_command(CLI::App& app, LogsOptions& options) {
  CLI::App* logs = app.add_subcommand("logs", "Print the output of a task's job");
  logs->add_flag("--follow,-f", options.follow, "Follow the output until the job ends");
  logs->add_option("--tail,-n", options.tail, "Number of lines from the end, or all")
      ->check(CLI::Validator(check_tail, ""))
      ->capture_default_str();
  logs->add_option("--since", options.since,
                   "Only output since this time: 10m or 1h30m ago, 2026-11-28T10:00:00Z, or seconds since 1970")
      ->check(CLI::Validator(check_moment, ""));
  logs->add_flag("--timestamps,-t", options.timestamps, "Show the time before each line");
  add_task_argument(*logs, options.task);
  return logs;
}

int show_logs(const LogsOptions& options) {
  ShimApi shim(options.shim_port);
  const std::vector<TaskEntry> tasks = shim.tasks();
  TaskEntry task = find_task(tasks, options.task);
  const auto bytes = task.process == "image" ? JobOutput::Bytes::as_they_are : JobOutput::Bytes::of_a_terminal;
  if (task.process == "image" && selects(options)) return show_engine_logs(shim, task, options);
  JobOutput output(shim, task.id, bytes);
  if (!select(shim, task, output, options)) return 0;
  if (options.follow) {
    const TaskEntry last = follow(shim, task, output);
    task.status = last.status;
    task.termination_reason = last.termination_reason;
    task.termination_message = last.termination_message;
  } else {
    output.print_all();
  }
  output.finish();
  if (output.begun()) return 0;
  if (task.ended()) {
    std::cerr << std::format("task {} has no output: it ended before its job started: {}\n", legible(task.name),
                             ending_of(task));
    return 1;
  }
  if (!options.follow)
    std::cerr << std::format("task {} is {}: no output yet\n", legible(task.name), legible(task.status));
  return 0;
}

}  // namespace dstack::shim::client
