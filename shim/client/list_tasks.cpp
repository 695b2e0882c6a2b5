#include <unistd.h>

#include <CLI/CLI.hpp>
#include <format>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/json/dump.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/task_filter.h"
#include "shim/client/task_format.h"
#include "shim/client/task_table.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

CLI::App* add_list_command(CLI::App& app, ListOptions& options) {
  CLI::App* list = app.add_subcommand("ps", "List the tasks of a running shim");
  list->add_flag("--all,-a", options.all, "Accepted as in docker; tasks that have ended are listed anyway");
  list->add_flag("--quiet,-q", options.quiet, "Ids only");
  list->add_option("--filter,-f", options.filters,
                   "Only tasks that match KEY=VALUE: id, name, image, status, exited or local; may be repeated")
      ->allow_extra_args(false);
  auto* format = list->add_option("--format", options.format,
                                  "Text with fields of a task, as {{.ID}} {{.Name}} {{.Image}} {{.Status}} {{.Age}} "
                                  "{{.GPUs}} {{.Reason}}; after \"table \" in columns; or json");
  list->add_flag("--json", options.json, "An array of objects instead of a table")->excludes(format);
  return list;
}

int list_tasks(const ListOptions& options) {
  const os::Clock& clock = os::system_clock();
  const TaskFilter filter(options.filters);
  const std::optional<TaskFormat> format = options.format ? std::optional<TaskFormat>(*options.format) : std::nullopt;
  const auto width = terminal_width(STDOUT_FILENO);
  ShimApi shim(options.shim_port);
  std::vector<TaskEntry> tasks = shim.tasks();
  const HostState host = shim.host_state();
  if (const auto& drained = host.drained) {
    std::cerr << std::format("note: this host is drained and takes no new tasks{} (dstack-shim undrain)\n",
                             drained->empty() ? "" : ": " + legible(*drained));
  }
  for (const std::string& gpu : host.sick_gpus)
    std::cerr << std::format("note: GPU {} is set aside as sick\n", legible(gpu));
  std::erase_if(tasks, [&filter](const TaskEntry& task) { return !filter.matches(task); });
  sort_tasks(tasks);
  if (options.quiet) {
    std::string ids;
    for (const TaskEntry& task : tasks)
      ids += legible(width ? task.id.substr(0, short_length(tasks, task.id)) : task.id) + "\n";
    write_answer(ids);
  } else if (format) {
    write_answer(format->text(tasks, clock));
  } else if (options.json) {
    // What a container said last may be any bytes.
    write_answer(dstack::json::dump(task_list(std::move(tasks), clock), 2, true) + "\n");
  } else {
    write_answer(task_table(std::move(tasks), width, clock));
  }
  return 0;
}

}  // namespace dstack::shim::client
