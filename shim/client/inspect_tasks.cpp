#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"

namespace dstack::shim::client {

CLI::App* add_inspect_command(CLI::App& app, InspectOptions& options) {
  CLI::App* inspect = app.add_subcommand("inspect", "Print all details of tasks as JSON, without secrets");
  add_task_arguments(*inspect, options.tasks);
  return inspect;
}

int inspect_tasks(const InspectOptions& options) {
  ShimApi shim(options.shim_port);
  const std::vector<TaskEntry> tasks = shim.tasks();
  nlohmann::json list = nlohmann::json::array();
  // As docker does, what was found is printed although something was not.
  const int status = with_each(options.tasks, [&](const std::string& wanted) {
    nlohmann::json task = shim.inspect(find_task(tasks, wanted).id);
    // With it a program could be started in the container.
    task.erase("runner_token");
    list.push_back(std::move(task));
  });
  write_answer(dstack::json::dump(list, 2, true) + "\n");
  return status;
}

}  // namespace dstack::shim::client
