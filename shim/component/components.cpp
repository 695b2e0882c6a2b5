#include "shim/component/components.h"

#include <spdlog/spdlog.h>

#include <array>
#include <format>

#include "common/error.h"
#include "common/version.h"
#include "shim/component/download.h"

namespace dstack::shim::component {

std::string_view name_of(ComponentStatus status) {
  constexpr std::array<std::string_view, 4> names{"not-installed", "installed", "installing", "error"};
  return names.at(static_cast<std::size_t>(status));
}

Components::Components(std::filesystem::path runner, std::filesystem::path shim) {
  runner_.path = std::move(runner);
  runner_.info.name = "dstack-runner";
  shim_.path = std::move(shim);
  shim_.info = {.name = "dstack-shim", .version = std::string(version()), .status = ComponentStatus::installed};
}

Components::~Components() {
  runner_.installation.request_stop();
  shim_.installation.request_stop();
}

void Components::ensure_runner(const std::string& download_url) {
  for (const Component* component : {&runner_, &shim_}) remove_leftovers(component->path);
  if (std::filesystem::exists(runner_.path)) {
    look_at(runner_);
  } else if (download_url.empty()) {
    spdlog::warn(
        "the runner {} is missing and there is no URL to download it from: tasks will fail until it is installed",
        runner_.path.string());
  } else {
    install_now(runner_, download_url, {});
  }
}

std::vector<ComponentInfo> Components::list() const {
  const std::scoped_lock lock(mutex_);
  std::vector<ComponentInfo> list;
  for (const Component* component : {&runner_, &shim_}) {
    list.push_back(component->info);
    if (component->installing) list.back().status = ComponentStatus::installing;
  }
  return list;
}

void Components::install(const std::string& name, const std::string& url) {
  if (name.empty()) throw Error(ErrorKind::invalid, "empty name");
  Component& component = find(name);
  if (url.empty()) throw Error(ErrorKind::invalid, "empty url");
  std::jthread previous;
  const std::scoped_lock lock(mutex_);
  if (component.installing) throw Error(ErrorKind::conflict, "already installing");
  component.installing = true;
  // The one before has ended, or is about to.
  previous = std::move(component.installation);
  component.installation =
      std::jthread([this, &component, url](const std::stop_token& stop) { install_now(component, url, stop); });
}

Components::Component& Components::find(const std::string& name) {
  if (name == runner_.info.name) return runner_;
  if (name == shim_.info.name) return shim_;
  throw Error(ErrorKind::invalid, "unknown component");
}

void Components::look_at(Component& component) {
  std::string found;
  try {
    found = ask_version(component.path, component.info.name);
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
  const std::scoped_lock lock(mutex_);
  component.info.version = found;
  component.info.status = found.empty() ? ComponentStatus::error : ComponentStatus::installed;
}

void Components::install_now(Component& component, const std::string& url, const std::stop_token& stop) {
  ComponentInfo after;
  {
    const std::scoped_lock lock(mutex_);
    after = component.info;
  }
  try {
    // What does not come leaves everything as it was.
    Download download(url, component.path, stop);
    // What comes and is something else does not, until there is a better one.
    after.status = ComponentStatus::error;
    const std::string version = download.check(after.name);
    download.install();
    after.version = version;
    after.status = ComponentStatus::installed;
    spdlog::info("{} {} is installed as {}", after.name, after.version, component.path.string());
  } catch (const std::exception& error) {
    spdlog::error("install {}: {}", after.name, error.what());
  }
  const std::scoped_lock lock(mutex_);
  component.info = after;
  component.installing = false;
}

}  // namespace dstack::shim::component
