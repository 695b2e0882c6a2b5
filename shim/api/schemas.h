#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "shim/component/components.h"
#include "shim/gpu/remarks.h"
#include "shim/gpu/sickness.h"
#include "shim/task/task.h"
#include "shim/task/task_manager.h"

// JSON ↔ structs. Reading throws Error (invalid) that names the field.
namespace dstack::shim::api {

struct SubmitRequest {
  task::TaskConfig config;
  Secret registry_password;
};

SubmitRequest read_submit(const std::string& body);

struct TerminateRequest {
  task::Ending ending;
  std::chrono::seconds grace{0};
};

TerminateRequest read_terminate(const std::string& body);

struct InstallRequest {
  std::string name;
  std::string url;
};

InstallRequest read_install(const std::string& body);

bool read_force(const std::string& body);

nlohmann::json to_json(const task::TaskInfo& info);
nlohmann::json to_json(const std::vector<task::TaskListItem>& items);
nlohmann::json to_json(const std::vector<task::TaskDetails>& all);
nlohmann::json to_json(const task::TaskInspection& inspection);
nlohmann::json to_json(const std::vector<task::OutputTime>& times);
nlohmann::json to_json(const std::vector<component::ComponentInfo>& components);

nlohmann::json to_json(const gpu::Sicknesses& sick);
nlohmann::json to_json(const std::vector<gpu::OutsideProcess>& processes);

// What no container, folder or journal could hold: the rules that go beyond types, for both generations of the API.
// Trims the keys.
void check_config(task::TaskConfig& config);

}  // namespace dstack::shim::api
