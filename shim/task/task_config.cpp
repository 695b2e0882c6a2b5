#include "shim/task/task_config.h"

#include <nlohmann/json.hpp>

namespace dstack::shim::task {

TaskConfig read_config(const dstack::json::ObjectReader& reader) {
  auto config = dstack::json::read_fields<TaskConfig>(reader);
  if (config.container_user.empty()) config.container_user = "root";
  return config;
}

nlohmann::json write_config(const TaskConfig& config) { return dstack::json::write_fields(config); }

}  // namespace dstack::shim::task
