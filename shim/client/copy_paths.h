#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::client {

// One of the two arguments of `cp`: TASK:PATH, a path on this machine, or "-" for a standard stream.
struct CopySide {
  std::optional<std::string> task;
  std::string path;

  bool is_stream() const { return !task && path == "-"; }
};

// As docker's: an absolute path, and one that begins with a dot, are this machine's whatever colons are in them.
CopySide parse_copy_side(std::string_view argument);

enum class PathKind { missing, folder, other };

// Where what is copied goes: under a name in a folder that exists, or, with an empty name, its content into the folder.
struct Landing {
  std::string folder;
  std::string name;

  friend bool operator==(const Landing&, const Landing&) = default;
};

// By the rules of `docker cp`. `source` is as it was given. `destination` has no link at its end that could be
// followed. Throws Error (invalid) for a folder onto a file, and for a slash behind what is not a folder.
Landing landing_of(std::string_view source, PathKind source_kind, std::string_view destination, PathKind kind);

// The path without slashes and "/." at its end; "/" and "." stay.
std::string_view without_ending(std::string_view path);
// Whether a path ends with a slash or "/.", or is "." or "..": only a folder can be meant.
bool names_folder(std::string_view path);
// The last component, empty for "/" and "."; and what is before it ("." if there is nothing).
std::string_view last_component(std::string_view path);
std::string parent_of(std::string_view path);

}  // namespace dstack::shim::client
