#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "runner/repo/diff.h"

namespace dstack::runner::repo {

// Hands over the new content, piece by piece, that the hunks make of the old one. A hunk that has moved is found by its
// context, as git apply does. Throws Error (conflict) that names the hunk which does not apply.
void apply_hunks(std::string_view old_content, const std::vector<Hunk>& hunks,
                 const std::function<void(std::string_view)>& take);

}  // namespace dstack::runner::repo
