#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <format>
#include <iostream>
#include <vector>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/signals.h"
#include "common/text/escape.h"
#include "shim/ci/command.h"
#include "shim/ci/infer.h"
#include "shim/ci/kinds.h"
#include "shim/ci/remains.h"
#include "shim/ci/work_folder.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kPatience{60};  // with a CI that cannot be reached

// What has been removed, or why not.
std::string remove(const Remains& remains, const CleanOptions& options, bool& removed) {
  const Journal& journal = remains.journal;
  try {
    auto folder = WorkFolder::take_over(remains.folder);
    if (!folder) return "another process has just locked it";
    os::Clock& clock = os::system_clock();
    const Secret token = infer_token(options.token, [](const char* name) -> const char* { return std::getenv(name); });
    const auto ci = connect(journal, token, clock);
    const Patience patience{.stop = {}, .network = kPatience};
    ci->check(patience);
    if (!remove_remains(*folder, journal, *ci, true, clock, patience))
      return std::format("runner {} of {} still has a job at the CI: try again later", journal.name, journal.repo);
    removed = true;
    return std::format("removed runner {} of {}", journal.name, journal.repo);
  } catch (const std::exception& error) {
    return std::format("runner {} of {}: {}", journal.name, journal.repo, error.what());
  }
}

}  // namespace

int clean(const CleanOptions& options) {
  os::ignore_broken_pipes();
  const bool all = options.workdir.empty();
  const auto found = all ? find_remains(default_parent(), {}) : find_remains({}, options.workdir);
  int status = exit_status::kDone;
  for (const Remains& remains : found) {
    bool removed = false;
    const std::string what = remove(remains, options, removed);
    if (!removed) status = exit_status::kFailed;
    (removed ? std::cout : std::cerr) << text::escape_controls(std::format("{}: {}", remains.folder.string(), what))
                                      << "\n";
  }
  if (found.empty()) std::cout << "nothing to remove\n";
  return status;
}

}  // namespace dstack::shim::ci
