#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/task_table.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

int list_tasks(const TaskCommand& command) {
  const os::Clock& clock = os::system_clock();
  std::vector<TaskEntry> tasks = ShimApi(command.shim_port).tasks();
  if (!command.json) {
    write_answer(task_table(std::move(tasks), terminal_width(STDOUT_FILENO), clock));
    return 0;
  }
  // What a container said last may be any bytes.
  const nlohmann::json list = task_list(std::move(tasks), clock);
  write_answer(dstack::json::dump(list, 2, true) + "\n");
  return 0;
}

}  // namespace dstack::shim::client
