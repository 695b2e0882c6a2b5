#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "runner/join/places.h"
#include "runner/join/progress.h"

namespace dstack::runner::join {

// Keeps copies of this program, and of the dstack-shim beside it, where nothing else writes. What was not as it should
// be; empty if nothing was changed. Throws Error.
std::vector<std::string> keep_programs(const Places& places, const std::filesystem::path& own_program);

// Whether both files are there and the same.
bool same_content(const std::filesystem::path& one, const std::filesystem::path& other);
// Puts a copy of `from` in place of `to`, as one step, if it is another. Whether it did. Throws Error.
bool put_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

// Keeps /usr/local/bin/dstack-{shim,runner} as they were when the host joined: a server that takes a host in puts its
// own release's in their place. Works on the thread that calls run().
class ProgramKeeper {
 public:
  // `restart_shim` ends a shim that runs another program than the one in place, where that ends no task's start; it
  // returns false if it has to be asked again.
  ProgramKeeper(Places places, Progress& progress, os::Clock& clock, std::function<bool()> restart_shim);

  // Until a stop is requested.
  void run(const std::stop_token& stop);

  // Puts back what is not the copy; whether everything is in place now.
  bool look();

 private:
  bool may_restore(const std::string& name);

  const Places places_;
  Progress& progress_;
  os::Clock& clock_;
  const std::function<bool()> restart_shim_;
  std::map<std::string, std::vector<os::SteadyTime>> restored_;  // when, within the last ten minutes, by name
  bool gave_up_ = false;
};

}  // namespace dstack::runner::join
