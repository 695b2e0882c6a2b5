#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace dstack::shim::aws {

// The server's own config.yml, from which it takes the backends of the projects that it names at each of its starts,
// in place of those that it knows.
class ServerFile {
 public:
  // No path: the server runs on another machine.
  explicit ServerFile(std::optional<std::filesystem::path> path) : path_(std::move(path)) {}

  enum class State {
    written,    // and a copy of what was there is beside it, with ".bak" added to its name
    unchanged,  // it said so already
    elsewhere,  // there is no such file here, or it does not name the project
    left,       // it cannot be rewritten: see reason
  };
  struct Outcome {
    State state = State::elsewhere;
    std::string reason;
  };

  // Makes `settings` those of the AWS account of a project, or takes that out where there are none.
  Outcome set(const std::string& project, const std::optional<nlohmann::ordered_json>& settings) const;
  // Where to write by hand what set() did not.
  std::string name() const;

 private:
  Outcome try_set(const std::string& project, const std::optional<nlohmann::ordered_json>& settings) const;

  std::optional<std::filesystem::path> path_;
};

// `given` by a flag, else the server's usual place if the server's URL is one of this machine. Throws CommandError (78)
// for a given file that is not there.
ServerFile server_file(const std::string& given, const std::string& url);

}  // namespace dstack::shim::aws
