#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/os/mutex.h"
#include "shim/component/file_version.h"

namespace dstack::shim::component {

enum class ComponentStatus { not_installed, installed, installing, error };

std::string_view name_of(ComponentStatus status);

struct ComponentInfo {
  std::string name;     // "dstack-runner"
  std::string version;  // empty unless installed
  ComponentStatus status = ComponentStatus::not_installed;
};

// The two programs on this host: what is there, and putting another one in its place. Thread-safe.
class Components {
 public:
  Components(const std::filesystem::path& runner, const std::filesystem::path& shim);
  Components(const Components&) = delete;
  Components& operator=(const Components&) = delete;
  // Cancels installations.
  ~Components();

  // At start: downloads the runner if its file is absent and there is a URL, and begins to ask a file that is there for
  // its version. Problems are logged: a server may fix them later. What a process that was killed left of its downloads
  // is removed.
  void ensure_runner(const std::string& download_url);

  // What the files say, not the running process: asked again when a file has changed, which may take 10 s.
  std::vector<ComponentInfo> list() const;

  // Begins an installation and returns. Throws Error: invalid ("empty name", "unknown component", "empty url"),
  // conflict while one of this component is under way.
  void install(const std::string& name, const std::string& url);

 private:
  struct Component {
    Component(std::string component_name, const std::filesystem::path& file)
        : name(std::move(component_name)), path(file), file_version(file, name) {}

    const std::string name;
    const std::filesystem::path path;
    const FileVersion file_version;
    bool refused = false;  // the last download that came was something else
    bool installing = false;
    std::jthread installation;
  };

  void ask_version_of_runner();
  Component& find(const std::string& name);
  ComponentInfo look_at(const Component& component) const;
  void install_now(Component& component, const std::string& url, const std::stop_token& stop);

  mutable os::Mutex mutex_;  // of the components' `refused`, `installing` and `installation`
  Component runner_;
  Component shim_;
  std::jthread asking_;  // last: it uses the runner
};

}  // namespace dstack::shim::component
