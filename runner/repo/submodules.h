#pragma once

#include <filesystem>
#include <string>

#include "runner/repo/access.h"
#include "runner/repo/git.h"

namespace dstack::runner::repo {

// Clones and checks out all submodules of a repository that came from `url`, and theirs. Throws Error that names the
// submodule.
void update_submodules(git_repository* repository, const std::string& url, Access& access);

}  // namespace dstack::runner::repo
