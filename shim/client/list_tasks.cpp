#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/task_table.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

CLI::App* add_list_command(CLI::App& app, ListOptions& options) {
  CLI::App* list = app.add_subcommand("ps", "List the tasks of a running shim");
  list->add_flag("--json", options.json, "An array of objects instead of a table");
  return list;
}

int list_tasks(const ListOptions& options) {
  const os::Clock& clock = os::system_clock();
  std::vector<TaskEntry> tasks = ShimApi(options.shim_port).tasks();
  if (!options.json) {
    write_answer(task_table(std::move(tasks), terminal_width(STDOUT_FILENO), clock));
    return 0;
  }
  // What a container said last may be any bytes.
  const nlohmann::json list = task_list(std::move(tasks), clock);
  write_answer(dstack::json::dump(list, 2, true) + "\n");
  return 0;
}

}  // namespace dstack::shim::client
