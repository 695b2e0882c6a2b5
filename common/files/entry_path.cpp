#include "common/files/entry_path.h"

#include <format>

#include "common/error.h"

namespace dstack::files {

namespace {

constexpr std::size_t kLongestPath = 4095;

Error refusal(std::string_view name, std::string_view reason) {
  return {ErrorKind::invalid, std::format("{} {}", printable(name), reason)};
}

}  // namespace

std::string entry_path(std::string_view name) {
  if (name.starts_with('/')) throw refusal(name, "is an absolute path");
  if (name.contains('\0')) throw refusal(name, "has a NUL byte in it");
  if (name.size() > kLongestPath) throw refusal(name, "is longer than a path may be");
  std::string path;
  path.reserve(name.size());
  for (std::size_t start = 0; start < name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    start = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") throw refusal(name, "leads out of its folder");
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace dstack::files
