#pragma once

#include <functional>
#include <string_view>

#include "runner/repo/diff.h"
#include "runner/repo/spool.h"

namespace dstack::runner::repo {

// Hands over the new content that the patch makes of the old one. Memory is constant whatever the patch claims or
// unpacks to; a delta waits in `spool` meanwhile. Throws Error (invalid) for a damaged patch, (conflict) for one that
// was made for another content.
void apply_binary(std::string_view old_content, const BinaryPatch& patch, Spool& spool,
                  const std::function<void(std::string_view)>& take);

}  // namespace dstack::runner::repo
