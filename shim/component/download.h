#pragma once

#include <sys/types.h>

#include <filesystem>
#include <stop_token>
#include <string>

#include "common/os/unique_fd.h"

namespace dstack::shim::component {

// What a component's file says for --version: "<name> version <VERSION>", nothing else. It is asked with an empty
// environment and has 10 s. Throws Error.
std::string ask_version(const std::filesystem::path& file, const std::string& name, const std::stop_token& stop = {});

// Removes what downloads of this target left that were killed; those under way stay. Errors are logged.
void remove_leftovers(const std::filesystem::path& target);

// A file fetched beside its target; removed with this unless it was installed. http and https only. Not thread-safe.
class Download {
 public:
  // Fetches, for 10 minutes at most. Throws Error for any failure, also for a status other than 200: not_found for one
  // that another try does not change.
  Download(const std::string& url, std::filesystem::path target, const std::stop_token& stop, mode_t mode = 0755);
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;
  ~Download();

  const std::filesystem::path& file() const { return file_; }

  // Its version; throws Error if it is something else than `name`.
  std::string check(const std::string& name) const { return ask_version(file_, name); }

  // Puts it over the target, as one step.
  void install();

 private:
  std::filesystem::path target_;
  std::filesystem::path file_;
  // Locked as long as this lives. Open for reading alone: a file that anybody may write to cannot be run.
  os::UniqueFd lock_;
};

}  // namespace dstack::shim::component
