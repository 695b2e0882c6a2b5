#include "runner/join/shim_process.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/directory.h"
#include "runner/join/programs.h"
#include "runner/join/systemd.h"

namespace dstack::runner::join {

using nlohmann::json;

namespace {

constexpr const char* kShimApi = "http://127.0.0.1:10998";

// Where the program of a shim that was started from there can be read, replaced or not.
std::optional<std::filesystem::path> running_program(const std::filesystem::path& file) {
  for (const std::string& process : os::list_directory("/proc").names) {
    std::error_code failure;
    std::filesystem::path link = std::filesystem::path("/proc") / process / "exe";
    const std::string target = std::filesystem::read_symlink(link, failure);
    if (!failure && (target == file || target == file.string() + " (deleted)")) return link;
  }
  return std::nullopt;
}

json get(http::Client& shim, const std::string& path) {
  const auto answer = shim.send({.path = path, .total_limit = std::chrono::seconds(10)});
  if (answer.status != 200) throw Error(ErrorKind::unavailable, std::format("{}: status {}", path, answer.status));
  return json::parse(answer.body, nullptr, false);
}

bool is_starting(const json& task) {
  const json status = task.is_object() ? task.value("status", json()) : json();
  return status == "preparing" || status == "pulling" || status == "creating";
}

bool a_task_is_starting() {
  http::Client shim({.base_url = kShimApi});
  const json list = get(shim, "/api/tasks");
  for (const json& id : list.is_object() ? list.value("ids", json::array()) : json::array()) {
    if (id.is_string() && is_starting(get(shim, "/api/tasks/" + http::encode_url_component(id.get<std::string>())))) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool restart_other_shim(const Places& places) {
  const std::filesystem::path file = places.programs() / "dstack-shim";
  std::error_code failure;
  if (!std::filesystem::exists(places.kept_shim(), failure)) return true;
  const auto running = running_program(file);
  if (!running || same_content(*running, file)) return true;
  try {
    if (a_task_is_starting()) return false;
  } catch (const std::exception& error) {
    // One that does not answer starts no task.
    spdlog::debug("Cannot ask the shim for its tasks: {}", error.what());
  }
  try {
    spdlog::info("The running shim is not {}: restarting it", file.string());
    restart_unit("dstack-shim.service");
    return true;
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
    return false;
  }
}

}  // namespace dstack::runner::join
