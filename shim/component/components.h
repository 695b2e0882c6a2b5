#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

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
  Components(std::filesystem::path runner, std::filesystem::path shim);
  Components(const Components&) = delete;
  Components& operator=(const Components&) = delete;
  // Breaks installations off.
  ~Components();

  // At start: downloads the runner if its file is absent and there is a URL, and looks at what is there. Whatever is
  // wrong is logged: a server may put it right later. What a process that was killed left of its downloads goes.
  void ensure_runner(const std::string& download_url);

  std::vector<ComponentInfo> list() const;

  // Begins an installation and returns. Throws Error: invalid ("empty name", "unknown component", "empty url"),
  // conflict while one of this component is under way.
  void install(const std::string& name, const std::string& url);

 private:
  struct Component {
    std::filesystem::path path;
    ComponentInfo info;  // as it is without the installation that is under way
    bool installing = false;
    std::jthread installation;
  };

  Component& find(const std::string& name);
  void look_at(Component& component);
  void install_now(Component& component, const std::string& url, const std::stop_token& stop);

  mutable std::mutex mutex_;
  Component runner_;
  Component shim_;
};

}  // namespace dstack::shim::component
