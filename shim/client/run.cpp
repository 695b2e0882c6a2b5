#include "shim/client/run.h"

#include <format>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/json/dump.h"
#include "common/text/escape.h"
#include "shim/client/output.h"
#include "shim/client/run_requests.h"
#include "shim/client/run_session.h"
#include "shim/client/stdio_stream.h"

namespace dstack::shim::client {

namespace {

RunEnd execute(RunSession& session) {
  try {
    if (session.options().is_plain()) return run_plain(session);
    // What cannot be sent is found out before there is a container.
    const nlohmann::json job = job_of(session.options(), session.id(), session.name());
    return run_job(session, job);
  } catch (const std::exception& error) {
    if (!session.submitted()) throw;
    std::cerr << "dstack-shim: " << text::escape_lines(error.what()) << "\n";
    return {.exit_status = exit_status::kNotRun};
  }
}

void report(const RunSession& session, const RunEnd& end) {
  if (!session.options().json) {
    if (end.goes_on && session.options().detach) write_answer(session.id() + "\n");
    return;
  }
  const nlohmann::json report = {{"id", session.id()},
                                 {"name", session.name()},
                                 {"exit_status", end.goes_on ? nlohmann::json() : nlohmann::json(end.exit_status)},
                                 {"reason", end.reason}};
  write_answer(dstack::json::dump(report) + "\n");
}

}  // namespace

int run(const RunOptions& options) {
  const os::UniqueFd signals = watch_stream_signals();
  RunSession session(options, signals);
  const RunEnd end = execute(session);
  if (!end.goes_on) session.clean_up();
  report(session, end);
  return end.exit_status;
}

}  // namespace dstack::shim::client
