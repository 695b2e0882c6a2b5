#include "shim/ci/github/image_build.h"

#include <unistd.h>

#include <format>
#include <iostream>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/os/child.h"
#include "common/os/command.h"

namespace dstack::shim::ci::github {

namespace {

constexpr std::chrono::seconds kRemovalLimit{60};

std::vector<std::string> environment_for(const std::string& engine) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (!text.starts_with("DOCKER_HOST=") && !text.starts_with("DOCKER_CONTEXT=")) environment.emplace_back(text);
  }
  if (!engine.empty()) environment.push_back("DOCKER_HOST=" + engine);
  return environment;
}

}  // namespace

BuiltImage::BuiltImage(const std::filesystem::path& dockerfile, std::string name, const std::string& engine,
                       const std::stop_token& stop)
    : name_(std::move(name)), environment_(environment_for(engine)) {
  if (!os::find_program("docker"))
    throw Error(ErrorKind::not_found, std::format("build {}: docker is not in PATH", printable(dockerfile.string())));
  os::Child docker({.arguments = {"docker", "build", "--tag", name_, "--file", dockerfile, dockerfile.parent_path()},
                    .environment = environment_,
                    .output = os::ChildStream::to(STDOUT_FILENO),
                    .errors = os::ChildStream::to(STDERR_FILENO)},
                   os::system_clock(), stop);
  const auto end = docker.wait(stop);
  if (!end) throw Error(ErrorKind::cancelled, std::format("build {}: cancelled", printable(dockerfile.string())));
  if (!end->succeeded()) {
    throw Error(ErrorKind::unavailable,
                std::format("build {}: docker {}", printable(dockerfile.string()), end->describe()));
  }
}

BuiltImage::~BuiltImage() {
  try {
    const auto end = os::run_command(
        {.arguments = {"docker", "image", "rm", name_}, .environment = environment_, .limit = kRemovalLimit});
    if (!end.succeeded()) std::cerr << std::format("remove image {}: {}", name_, end.describe()) << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

}  // namespace dstack::shim::ci::github
