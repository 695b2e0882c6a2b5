#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

namespace dstack::shim::ci::github {

// An image that the docker of PATH has built from a Dockerfile, its folder being the context; its name is removed with
// this object.
class BuiltImage {
 public:
  // `engine` is the shim's, "unix:///var/run/docker.sock". What docker writes goes to this process's stdout and stderr.
  // Throws Error; `stop` ends it (cancelled).
  BuiltImage(const std::filesystem::path& dockerfile, std::string name, const std::string& engine,
             const std::stop_token& stop);
  BuiltImage(const BuiltImage&) = delete;
  BuiltImage& operator=(const BuiltImage&) = delete;
  ~BuiltImage();

  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  std::vector<std::string> environment_;  // of docker
};

}  // namespace dstack::shim::ci::github
