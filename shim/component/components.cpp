#include "shim/component/components.h"

#include <spdlog/spdlog.h>

#include <array>
#include <optional>

#include "common/error.h"
#include "common/os/thread.h"
#include "shim/component/download.h"

namespace dstack::shim::component {

std::string_view name_of(ComponentStatus status) {
  constexpr std::array<std::string_view, 4> names{"not-installed", "installed", "installing", "error"};
  return names.at(static_cast<std::size_t>(status));
}

Components::Components(const std::filesystem::path& runner, const std::filesystem::path& shim)
    : runner_("dstack-runner", runner), shim_("dstack-shim", shim) {}

Components::~Components() {
  runner_.installation.request_stop();
  shim_.installation.request_stop();
}

void Components::ensure_runner(const std::string& download_url) {
  for (const Component* component : {&runner_, &shim_}) remove_leftovers(component->path);
  if (std::filesystem::exists(runner_.path)) {
    ask_version_of_runner();
  } else if (download_url.empty()) {
    spdlog::warn(
        "the runner {} is missing and there is no URL to download it from: tasks will fail until it is installed",
        runner_.path.string());
  } else {
    install_now(runner_, download_url, {});
  }
}

void Components::ask_version_of_runner() {
  try {
    asking_ = os::start_thread<std::jthread>("ask the runner for its version",
                                             [this](const std::stop_token& stop) { runner_.file_version.ask(stop); });
  } catch (const std::exception& error) {
    spdlog::warn("{}; it is asked when a client asks for the components", error.what());
  }
}

std::vector<ComponentInfo> Components::list() const { return {look_at(runner_), look_at(shim_)}; }

void Components::install(const std::string& name, const std::string& url) {
  if (name.empty()) throw Error(ErrorKind::invalid, "empty name");
  Component& component = find(name);
  if (url.empty()) throw Error(ErrorKind::invalid, "empty url");
  std::jthread previous;
  const os::Lock lock(mutex_);
  if (component.installing) throw Error(ErrorKind::conflict, "already installing");
  // It reports its end under the lock that is held here.
  auto installation = os::start_thread<std::jthread>(
      "install a component",
      [this, &component, url = url](const std::stop_token& stop) { install_now(component, url, stop); });
  component.installing = true;
  // The one before has ended, or is about to.
  previous = std::move(component.installation);
  component.installation = std::move(installation);
}

Components::Component& Components::find(const std::string& name) {
  if (name == runner_.name) return runner_;
  if (name == shim_.name) return shim_;
  throw Error(ErrorKind::invalid, "unknown component");
}

ComponentInfo Components::look_at(const Component& component) const {
  const FileVersion::Answer file = component.file_version.ask();
  ComponentInfo info{.name = component.name, .version = file.version};
  if (file.exists) info.status = file.version.empty() ? ComponentStatus::error : ComponentStatus::installed;
  const os::Lock lock(mutex_);
  if (component.refused) info.status = ComponentStatus::error;
  if (component.installing) info.status = ComponentStatus::installing;
  return info;
}

void Components::install_now(Component& component, const std::string& url, const std::stop_token& stop) {
  // What does not come leaves everything as it was. What comes and is something else is an error until the next one.
  std::optional<bool> refused;
  try {
    Download download(url, component.path, stop);
    refused = true;
    const std::string version = download.check(component.name);
    download.install();
    refused = false;
    spdlog::info("{} {} is installed as {}", component.name, version, component.path.string());
  } catch (const std::exception& error) {
    spdlog::error("install {}: {}", component.name, error.what());
  }
  const os::Lock lock(mutex_);
  component.refused = refused.value_or(component.refused);
  component.installing = false;
}

}  // namespace dstack::shim::component
