#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dstack::shim::ci {

// launcher.json of a work folder: what a launcher has made, or is about to make, so that whoever finds it dead can
// remove that. Written before the thing is made. No secrets.
struct Journal {
  std::string name;            // of the runner
  std::string repo;            // its URL
  std::string driver;          // "gitlab", "github"
  std::string base_url;        // of the CI
  std::string path;            // of the project or group there
  std::string runner;          // its id; empty while it is not known
  std::string listed_name;     // of the runner at the CI, where it has a number; empty: `name`
  bool may_be_listed = false;  // the request that makes the runner was made
  // Ids of earlier runners that may still be listed: GitHub removes none that it takes for busy.
  std::vector<std::string> earlier;
  std::int64_t shim_port = 0;  // of a shim that was there; 0: the launcher has its own
  bool own_shim = false;       // below the work folder
  bool made_folder = false;    // the work folder itself
  // Of a runner on a machine of a cloud, while it is waited for: the run, empty if there is none, what marks it as this
  // launcher's, and where it is.
  std::string run;
  std::string submission;
  std::string dstack_url;
  std::string dstack_project;

  // Whether there may be a runner at the CI.
  bool has_runners() const { return may_be_listed || !runner.empty() || !earlier.empty(); }

  friend bool operator==(const Journal&, const Journal&) = default;
};

std::filesystem::path journal_file(const std::filesystem::path& workdir);

// Throws Error.
void write_journal(const std::filesystem::path& workdir, const Journal& journal);
// Nothing if there is none. Throws Error for one that cannot be read.
std::optional<Journal> read_journal(const std::filesystem::path& workdir);

}  // namespace dstack::shim::ci
