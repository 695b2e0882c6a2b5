#include "shim/client/task_commands.h"

#include <CLI/CLI.hpp>

namespace dstack::shim::client {

void add_task_argument(CLI::App& command, std::string& task) {
  command.add_option("id", task, "A task's id, the beginning of its id, or its name")->required();
}

void add_task_arguments(CLI::App& command, std::vector<std::string>& tasks) {
  command.add_option("id", tasks, "Ids, beginnings of ids or names of tasks")->required();
}

}  // namespace dstack::shim::client
