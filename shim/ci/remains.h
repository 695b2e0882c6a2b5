#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"
#include "shim/ci/journal.h"
#include "shim/ci/work_folder.h"

namespace dstack::shim::ci {

// A work folder whose launcher is dead.
struct Remains {
  std::filesystem::path folder;
  Journal journal;
};

// Those of `parent`'s folders, and `folder` itself. One that cannot be read is logged and left out.
std::vector<Remains> find_remains(const std::filesystem::path& parent, const std::filesystem::path& folder);

// Removes what the journal names: the run at a dstack server, the runner at the CI, an own shim with its containers,
// the folder's content. A runner that is busy at the CI (its agent was killed a moment ago) is tried for 30 s; then it
// stays in the journal, with all else removed, and this is false. Throws Error for the first that could not be removed;
// the journal stays then. `also_folder`: the folder too, if the launcher had made it.
bool remove_remains(WorkFolder& folder, Journal journal, Ci& ci, bool also_folder, os::Clock& clock,
                    const Patience& patience);

// The journal's runners: by id, or by name where the launcher died before it knew that. Those that are gone are taken
// out of the journal. Busy if one is left because it has a job.
Removal remove_runners(Journal& journal, Ci& ci, const Secret& own, const Patience& patience);

}  // namespace dstack::shim::ci
