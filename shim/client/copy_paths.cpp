#include "shim/client/copy_paths.h"

#include <format>

#include "common/error.h"

namespace dstack::shim::client {

namespace {

// "." or "…/.": the folder's content, not the folder.
bool means_content(std::string_view path) { return path == "." || path.ends_with("/."); }

}  // namespace

CopySide parse_copy_side(std::string_view argument) {
  const std::size_t colon = argument.find(':');
  if (argument.starts_with('/') || argument.starts_with('.') || colon == std::string_view::npos || colon == 0) {
    return {.task = std::nullopt, .path = std::string(argument)};
  }
  return {.task = std::string(argument.substr(0, colon)), .path = std::string(argument.substr(colon + 1))};
}

std::string_view without_ending(std::string_view path) {
  while (path.size() > 1 && (path.ends_with('/') || path.ends_with("/."))) {
    path.remove_suffix(path.ends_with('/') || path.size() == 2 ? 1 : 2);
  }
  return path;
}

bool names_folder(std::string_view path) {
  return path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") || path == "." || path == "..";
}

std::string_view last_component(std::string_view path) {
  path = without_ending(path);
  if (path == "/" || path == ".") return "";
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string parent_of(std::string_view path) {
  path = without_ending(path);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

Landing landing_of(std::string_view source, PathKind source_kind, std::string_view destination, PathKind kind) {
  const bool folder = source_kind == PathKind::folder;
  if (!folder && names_folder(source)) {
    throw Error(ErrorKind::invalid, std::format("{}: not a directory", printable(source)));
  }
  if (kind == PathKind::folder) {
    return {.folder = std::string(destination),
            .name = means_content(source) ? "" : std::string(last_component(source))};
  }
  if (kind == PathKind::other && folder) {
    throw Error(ErrorKind::invalid,
                std::format("cannot copy a directory to {}, which is a file", printable(destination)));
  }
  if (!folder && names_folder(destination)) {
    throw Error(ErrorKind::invalid, std::format("{}: {}", printable(destination),
                                                kind == PathKind::missing ? "no such directory" : "not a directory"));
  }
  return {.folder = parent_of(destination), .name = std::string(last_component(destination))};
}

}  // namespace dstack::shim::client
