#pragma once

#include <filesystem>
#include <string>

namespace dstack::os {

// Removes the entry `name` of `folder` and everything below it, through descriptors of folders and without following a
// link: what lies below may have been made by a hostile job. Any depth in constant memory and descriptors. What a
// volume is mounted on is not touched, nor what it holds. An entry that is not there is fine. Throws Error for what
// cannot be removed; the rest is gone then.
void remove_tree(const std::filesystem::path& folder, const std::string& name);
// The same in an open folder; `folder_name` is for messages.
void remove_tree(int folder, const std::filesystem::path& folder_name, const std::string& name);

// unlink(2); a file that is not there is fine. Throws Error.
void remove_file(const std::filesystem::path& path);

}  // namespace dstack::os
