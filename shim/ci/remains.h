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

// Removes what the journal names: the runner at the CI, an own shim with its containers, the folder's content. Throws
// Error for the first that could not be removed; the journal stays then. `also_folder`: the folder too, if the launcher
// had made it.
void remove_remains(WorkFolder& folder, const Journal& journal, Ci& ci, bool also_folder, const Patience& patience);

// The runner by its id, or by its name where the launcher died before it knew that.
Removal remove_runner(const Journal& journal, Ci& ci, const Secret& own, const Patience& patience);

// The CI of a journal.
std::unique_ptr<Ci> connect(const Journal& journal, const Secret& token, os::Clock& clock);

}  // namespace dstack::shim::ci
