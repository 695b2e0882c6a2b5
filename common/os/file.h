#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/unique_fd.h"

namespace dstack::os {

// open(2) with O_CLOEXEC; throws Error naming the path.
UniqueFd open_file(const std::filesystem::path& path, int flags, mode_t mode = 0);

// The whole file; throws Error. Reading stops with an error beyond `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t limit = std::size_t{64} << 20);

// What is left to be read of an open file, which is named `what` in errors; as above.
std::string read_rest(int fd, std::string_view what, std::size_t limit = std::size_t{64} << 20);

// The whole file, nothing if it cannot be read (/proc and /sys probes).
std::optional<std::string> try_read_file(const std::filesystem::path& path);

// The names in a folder, in no order; those that could be read if the folder, or a part of it, could not.
std::vector<std::string> list_folder(const std::filesystem::path& folder);

// Writes all of `data`; throws Error naming `what`.
void write_all(int fd, std::string_view data, std::string_view what);

// Replaces `path` as one step: a temporary file in the same folder, flushed, renamed over it, the folder flushed.
// Either the old or the new content is there after a crash at any instant. Throws Error; the temporary file is
// then gone.
void write_file_atomic(const std::filesystem::path& path, std::string_view data, mode_t mode);

// The same without the flushes: complete whenever the process is killed, but perhaps not after a power cut.
void replace_file(const std::filesystem::path& path, std::string_view data, mode_t mode);

// Flushes a folder's entries to disk.
void sync_directory(const std::filesystem::path& path);

// mkdir -p. `mode` holds for the folders that are made, whatever the umask; existing ones are left alone.
void make_directories(const std::filesystem::path& path, mode_t mode);

}  // namespace dstack::os
