#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/files/tree.h"

namespace dstack::runner::repo {

// What a checkout does to a file's content on its way to the folder (line ends, $Id$) and what undoes it: a diff speaks
// of the content as it is in the repository. The answer is nothing where a path has none.
struct Filters {
  using Convert = std::function<std::optional<std::string>(const std::string& path, std::string_view content)>;
  Convert to_repository;
  Convert to_folder;
};

// Changes the folder's files as the diff says, what `git diff --binary` prints of any changes. Nothing is changed
// unless all of it applies; memory does not grow with the diff's content but with its number of lines. Changes of
// submodules are logged and left out. Throws Error that names the file, and the hunk where one does not apply.
// `scratch` is a folder for temporary files.
void apply_diff(std::string_view diff, files::Tree& tree, const std::filesystem::path& scratch,
                const Filters& filters = {});

}  // namespace dstack::runner::repo
