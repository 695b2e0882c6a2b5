#include "shim/client/task_commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/exit_status.h"
#include "common/text/escape.h"

namespace dstack::shim::client {

int with_each(const std::vector<std::string>& names, const std::function<void(const std::string& name)>& what) {
  int status = exit_status::kDone;
  for (const std::string& name : names) {
    try {
      what(name);
    } catch (const std::exception& error) {
      std::cerr << "dstack-shim: " << text::escape_lines(error.what()) << "\n";
      status = exit_status::kFailed;
    }
  }
  return status;
}

void add_task_argument(CLI::App& command, std::string& task) {
  command.add_option("id", task, "A task's id, the beginning of its id, or its name")->required();
}

void add_task_arguments(CLI::App& command, std::vector<std::string>& tasks) {
  command.add_option("id", tasks, "Ids, beginnings of ids or names of tasks")->required();
}

}  // namespace dstack::shim::client
