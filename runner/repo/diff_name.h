#pragma once

#include <string>
#include <string_view>

namespace dstack::runner::repo {

// A name as git prints it: as it is, or in double quotes with C's escapes. Throws Error for a bad escape.
std::string unquoted(std::string_view name);

// The one path that both names of "diff --git a/path b/path" mean, whatever the prefixes are, or without any; empty if
// they differ in more than that.
std::string common_name(std::string_view names);

// The path as files::entry_path() has it; throws Error too for one that is empty or leads into a .git folder.
std::string checked_diff_path(std::string_view path);

}  // namespace dstack::runner::repo
