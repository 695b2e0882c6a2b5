#pragma once

#include <string>
#include <string_view>

namespace dstack::files {

// A name out of an archive or a diff as a relative path: no "." in it, no double slash, none at its end. Empty for the
// folder itself. Throws Error (invalid), which names it, for one that is absolute, has a ".." or a NUL in it, or is
// longer than the kernel takes.
std::string entry_path(std::string_view name);

// "a/b" and "c" of "a/b/c"; "" and "a" of "a".
std::string_view folder_of(std::string_view path);
std::string_view name_of(std::string_view path);

}  // namespace dstack::files
