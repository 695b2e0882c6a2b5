#include "shim/ci/github/image_environment.h"

#include "common/os/usual_folders.h"

namespace dstack::shim::ci::github {

std::string variable_in(const std::map<std::string, std::string>& asked, const client::TaskDetails& container,
                        const std::string& name) {
  if (const auto found = asked.find(name); found != asked.end()) return found->second;
  for (const std::string& variable : container.environment) {
    if (variable.starts_with(name + "=")) return variable.substr(name.size() + 1);
  }
  return {};
}

std::string prepend_path(const std::vector<std::string>& folders, const std::string& path) {
  std::string all;
  for (const std::string& folder : folders) {
    if (!folder.empty()) all += folder + ":";
  }
  return all + (path.empty() ? std::string(os::kUsualFolders) : path);
}

}  // namespace dstack::shim::ci::github
