#include "shim/doctor/download_check.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/process_list.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/doctor/engine_checks.h"

namespace dstack::shim::doctor {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefault = 3;
constexpr const char* kOption = "max-concurrent-downloads";
constexpr const char* kConfigurationFile = "/etc/docker/daemon.json";

bool is_dockerd(const fs::path& process) {
  return text::trim(os::try_read_file(process / "comm").value_or("")) == "dockerd";
}

// The folder of dockerd's process below /proc; empty if it cannot be seen.
fs::path find_dockerd(const fs::path& root) {
  const std::string pid(text::trim(os::try_read_file(root / "run/docker.pid").value_or("")));
  if (text::is_digits(pid) && is_dockerd(root / "proc" / pid)) return root / "proc" / pid;
  std::vector<fs::path> found;
  for (const os::ProcessEntry& process : os::list_processes(root / "proc")) {
    const fs::path folder = root / "proc" / std::to_string(process.pid);
    if (process.alive() && is_dockerd(folder)) found.push_back(folder);
  }
  // With several it is not known which one has the socket.
  return found.size() == 1 ? found.front() : fs::path();
}

// Of "--name VALUE" or "--name=VALUE".
std::optional<std::string> option_of(const fs::path& process, std::string_view name) {
  const std::string command_line = os::try_read_file(process / "cmdline").value_or("");
  const auto arguments = text::split(command_line, '\0');
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (!argument.starts_with("--") || !argument.substr(2).starts_with(name)) continue;
    argument.remove_prefix(2 + name.size());
    if (argument.starts_with("=")) return std::string(argument.substr(1));
    if (argument.empty() && i + 1 < arguments.size()) return std::string(arguments[i + 1]);
  }
  return std::nullopt;
}

}  // namespace

Finding check_downloads(const Host& host) {
  if (!host.engine || !host.engine->address().starts_with("unix://")) return ok("unknown: Docker is not on this host");
  try {
    if (ask_engine(host).podman) return ok("not a setting of Podman's daemon");
  } catch (const std::exception&) {
    // Docker's own check says why.
  }
  const fs::path dockerd = find_dockerd(host.root);
  const std::string file = option_of(dockerd, "config-file").value_or(kConfigurationFile);
  std::int64_t count = kDefault;
  if (const auto option = option_of(dockerd, kOption)) {
    count = text::parse_number<std::int64_t>(*option).value_or(kDefault);
  } else {
    // As dockerd sees it, which may be in a mount namespace of its own.
    std::error_code failure;
    const fs::path root = !dockerd.empty() && fs::exists(dockerd / "root", failure) ? dockerd / "root" : host.root;
    const auto content = os::try_read_file(root / fs::path(file).relative_path());
    const nlohmann::json settings = nlohmann::json::parse(content.value_or("{}"), nullptr, false);
    if (settings.is_discarded())
      return warning(readable(file) + " is not JSON", "correct it: Docker will not start with it");
    if (const auto found = settings.find(kOption); found != settings.end() && found->is_number_integer())
      count = found->get<std::int64_t>();
  }
  const std::string found = std::format("{} layer{} at once, of all pulls together", count, count == 1 ? "" : "s");
  if (count > kDefault) return ok(found);
  return warning(std::format("{}{}", found, count == kDefault ? ", Docker's default" : ""),
                 std::format("a pull waits while others download: set \"{}\": 50 in {}, then `systemctl reload docker`",
                             kOption, readable(file)));
}

}  // namespace dstack::shim::doctor
