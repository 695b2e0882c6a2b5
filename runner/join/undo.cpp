#include "runner/join/undo.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <functional>
#include <string_view>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "common/text/split.h"
#include "runner/join/identity.h"
#include "runner/join/systemd.h"

namespace dstack::runner::join {

namespace {

constexpr std::string_view kMark = " # added by dstack";
constexpr const char* kAgentUnit = "dstack-join.service";
constexpr const char* kShimUnit = "dstack-shim.service";

// "ssh-ed25519 AAAA…" of "ssh-ed25519 AAAA… comment": what a key is.
std::string blob_of(const std::string& key) {
  const auto words = text::split_words(key);
  return words.size() < 2 ? key : std::string(words[1]);
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0600;
}

// Carries on past what fails, and throws the first failure at the end.
class Steps {
 public:
  void run(const std::function<void()>& step) {
    try {
      step();
    } catch (const std::exception& error) {
      if (!failure_) failure_ = Error(error_kind(error), error.what());
    }
  }
  void finish() const {
    if (failure_) throw Error(*failure_);
  }

 private:
  std::optional<Error> failure_;
};

void remove_agent_unit(const Places& places, bool stop_agent, Steps& steps) {
  if (!is_there(places.join_unit())) return;
  if (stop_agent) steps.run([] { stop_unit(kAgentUnit); });
  steps.run([] { disable_unit(kAgentUnit); });
  steps.run([&] { os::remove_file(places.join_unit()); });
}

void restore_shim_unit(const Places& places, const Before& before, Steps& steps) {
  const auto now = os::try_read_file(places.shim_unit());
  if (now == before.shim_unit) return;
  if (now) {
    steps.run([] { stop_unit(kShimUnit); });
    steps.run([] { disable_unit(kShimUnit); });
  }
  if (!before.shim_unit) {
    steps.run([&] { os::remove_file(places.shim_unit()); });
    steps.run(reload_units);
    return;
  }
  steps.run([&] { os::write_file_atomic(places.shim_unit(), *before.shim_unit, 0644); });
  steps.run(reload_units);
  if (before.shim_enabled) steps.run([] { enable_unit(kShimUnit); });
  if (before.shim_active) steps.run([] { start_unit(kShimUnit); });
}

void restore_authorized_keys(const Places& places, const Before& before) {
  const auto text = os::try_read_file(places.authorized_keys());
  const auto key = os::try_read_file(places.fleet_public_key());
  if (!text) return;
  const std::string left = without_joining_lines(*text, key.value_or(""), before.marked_lines);
  if (left != *text) os::write_file_atomic(places.authorized_keys(), left, mode_of(places.authorized_keys()));
}

}  // namespace

std::string without_joining_lines(const std::string& text, const std::string& key,
                                  const std::vector<std::string>& before) {
  const std::string blob = blob_of(key);
  std::string left;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const std::string_view whole = rest.substr(0, end == std::string_view::npos ? rest.size() : end + 1);
    rest.remove_prefix(whole.size());
    const bool ours = !blob.empty() && line.contains(blob);
    const bool servers = line.ends_with(kMark) && std::ranges::find(before, line) == before.end();
    if (!ours && !servers) left += whole;
  }
  return left;
}

bool authorize(const Places& places, const std::string& key) {
  std::string text = os::try_read_file(places.authorized_keys()).value_or("");
  if (text.contains(blob_of(key))) return false;
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  os::make_directories(places.ssh_folder(), 0700);
  const mode_t mode = is_there(places.authorized_keys()) ? mode_of(places.authorized_keys()) : 0600;
  os::write_file_atomic(places.authorized_keys(), text + key + "\n", mode);
  return true;
}

Before look_before(const Places& places) {
  Before before{.ssh_folder = is_there(places.ssh_folder()),
                .ssh_folder_mode = static_cast<int>(mode_of(places.ssh_folder())),
                .authorized_keys = is_there(places.authorized_keys()),
                .shim_environment = is_there(places.shim_environment()),
                .shim_unit = os::try_read_file(places.shim_unit())};
  const std::string text = os::try_read_file(places.authorized_keys()).value_or("");
  for (const std::string_view line : text::split_lines(text)) {
    if (line.ends_with(kMark)) before.marked_lines.emplace_back(line);
  }
  if (before.shim_unit) {
    before.shim_enabled = unit_is_enabled(kShimUnit);
    before.shim_active = unit_is_active(kShimUnit);
  }
  return before;
}

void undo_joining(const Places& places, const State& state, bool stop_agent) {
  Steps steps;
  remove_agent_unit(places, stop_agent, steps);
  restore_shim_unit(places, state.before, steps);
  if (!state.before.shim_environment) steps.run([&] { os::remove_file(places.shim_environment()); });
  steps.run([&] { restore_authorized_keys(places, state.before); });
  steps.run(reload_units);
  steps.finish();
  for (const auto& file : {places.progress(), places.account(), places.user_key(), places.state()})
    os::remove_file(file);
}

void purge(const Places& places, const std::optional<State>& state, const std::filesystem::path& config_file) {
  if (state) {
    const auto keys = os::try_read_file(places.authorized_keys());
    if (!state->before.authorized_keys && keys && keys->empty()) os::remove_file(places.authorized_keys());
    // Not what somebody has put there since.
    if (!state->before.ssh_folder) ::rmdir(places.ssh_folder().c_str());
    if (state->before.ssh_folder && !state->before.authorized_keys) {
      ::chmod(places.ssh_folder().c_str(), static_cast<mode_t>(state->before.ssh_folder_mode));
    }
  }
  if (is_there(places.folder())) os::remove_tree(places.dstack(), "join");
  if (is_there(places.library())) os::remove_tree(places.library().parent_path(), "dstack");
  os::remove_file(config_file);
}

}  // namespace dstack::runner::join
