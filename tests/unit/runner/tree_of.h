#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <format>
#include <map>
#include <string>

#include "common/os/file.h"

namespace dstack::test {

// What lies below a folder: each path with what it is, its mode and content. Empty folders are told, others are by
// what they hold.
inline std::map<std::string, std::string> tree_of(const std::filesystem::path& root) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> result;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const fs::path& path = entry->path();
    if (path.filename() == ".git" && entry.depth() == 0) {
      entry.disable_recursion_pending();
      continue;
    }
    struct stat status{};
    ::lstat(path.c_str(), &status);
    std::string& told = result[path.lexically_relative(root).string()];
    if (S_ISLNK(status.st_mode)) {
      told = "link to " + fs::read_symlink(path).string();
    } else if (S_ISDIR(status.st_mode)) {
      told = fs::is_empty(path) ? "empty folder" : "folder";
    } else {
      told = std::format("{} {}", (status.st_mode & S_IXUSR) != 0 ? "program" : "file", os::read_file(path));
    }
  }
  return result;
}

}  // namespace dstack::test
