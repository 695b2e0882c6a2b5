#include "runner/join/shim_process.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/http/client.h"
#include "common/json/member.h"
#include "common/os/directory.h"
#include "runner/join/programs.h"
#include "runner/join/systemd.h"

namespace dstack::runner::join {

using nlohmann::json;

namespace {

constexpr const char* kShimApi = "http://127.0.0.1:10998";
constexpr std::chrono::seconds kAnswerLimit{10};

http::ClientResponse ask(const std::string& shim_api, const std::string& path) {
  http::Client shim({.base_url = shim_api});
  return shim.send({.path = path, .total_limit = kAnswerLimit});
}

// The process that answers there; nothing if it does not say, as the vendor's shim does not.
std::optional<std::string> process_of(const std::string& shim_api) {
  try {
    const json settings = json::parse(ask(shim_api, "/local/settings").body, nullptr, false);
    const json& pid = dstack::json::member(settings, "pid");
    if (pid.is_number_integer()) return std::to_string(pid.get<std::int64_t>());
  } catch (const std::exception& error) {
    spdlog::debug("Cannot ask the shim for its process: {}", error.what());
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::filesystem::path> running_program(const std::filesystem::path& file, const std::string& shim_api,
                                                     const std::filesystem::path& proc) {
  std::vector<std::string> started;
  for (const std::string& process : os::list_directory(proc).names) {
    std::error_code failure;
    const std::string target = std::filesystem::read_symlink(proc / process / "exe", failure);
    if (!failure && (target == file || target == file.string() + " (deleted)")) started.push_back(process);
  }
  if (started.empty()) return std::nullopt;
  const std::string process = process_of(shim_api).value_or(started.front());
  if (!std::ranges::contains(started, process)) return std::nullopt;
  return proc / process / "exe";
}

bool is_task_starting(const std::string& shim_api) {
  // A person's tasks too.
  const http::ClientResponse answer = ask(shim_api, "/api/tasks?local=1");
  if (answer.status != 200)
    throw Error(ErrorKind::unavailable, std::format("ask the shim for its tasks: status {}", answer.status));
  const json list = json::parse(answer.body, nullptr, false);
  const json& tasks = dstack::json::member(list, "tasks");
  return tasks.is_array() && std::ranges::any_of(tasks, [](const json& task) {
           const std::string status = dstack::json::text_member(task, "status");
           return status == "preparing" || status == "pulling" || status == "creating";
         });
}

bool restart_other_shim(const Places& places) {
  const std::filesystem::path file = places.programs() / "dstack-shim";
  std::error_code failure;
  if (!std::filesystem::exists(places.kept_shim(), failure)) return true;
  const auto running = running_program(file, kShimApi);
  if (!running || same_content(*running, file)) return true;
  try {
    if (is_task_starting(kShimApi)) return false;
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
