#include "runner/job/process.h"

#include <spdlog/spdlog.h>
#include <format>

#include "common/error.h"
#include "runner/job/capabilities.h"
#include "runner/job/exec_failure.h"

namespace dstack::runner::job {

namespace {

void refuse_nul(const std::vector<std::string>& commands) {
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (!commands[i].contains('\0')) continue;
    throw Error(ErrorKind::invalid, std::format("commands[{}] contains a NUL byte", i));
  }
}

os::ChildSpec child_spec(const ProcessSpec& spec, Terminal& terminal) {
  refuse_nul(spec.arguments);
  const os::ChildStream stream = os::ChildStream::to(terminal.job_side());
  os::ChildSpec child{.arguments = spec.arguments,
                      .program = spec.program,
                      .environment = spec.environment,
                      .working_dir = spec.working_dir,
                      .input = stream,
                      .output = stream,
                      .errors = stream,
                      .own_session = true,
                      .controlling_terminal = true,
                      .unlimited_memory_lock = has_capability(Capability::sys_resource),
                      .spare_group = true};
  if (can_change_user()) {
    terminal.give_to(spec.user.uid);
    child.user = {.name = spec.user.name, .uid = spec.user.uid, .gid = spec.user.gid, .groups = spec.user.groups};
  } else {
    spdlog::warn("The container lacks a capability (SETUID, SETGID or CHOWN): the job runs as the runner's own user");
  }
  return child;
}

}  // namespace

Process::Process(const ProcessSpec& spec, Terminal& terminal, os::Clock& clock) try
    : child_(child_spec(spec, terminal), clock) {
} catch (const os::ExecError& error) {
  throw_exec_failure(error.code(), spec);
}

}  // namespace dstack::runner::job
