#include "runner/chown.h"

#include <print>
#include <string>

#include "common/os/change_owner.h"

namespace dstack::runner {

int run_chown(const ChownCommand& command) {
  os::raise_descriptor_limit();
  int status = 0;
  os::change_owner(command.path, command.uid, command.gid, [&status](const std::string& message) {
    std::println(stderr, "dstack-runner: {}", message);
    status = 1;
  });
  return status;
}

}  // namespace dstack::runner
