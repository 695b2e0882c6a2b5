#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// Foreign text for a terminal, with text::escape_controls() and cut at `limit` bytes.
std::string legible(std::string_view text, std::size_t limit = 1000);

// How many columns it takes: its characters, none of which is taken for a wide one.
std::size_t columns(std::string_view text);

// Why a task ended: a line, and beneath it, indented, what lines follow in its message.
std::string ending_of(const TaskEntry& task);

enum class Keep { beginning, end };
// No wider than `limit` columns; an ellipsis stands for what is missing.
std::string shortened(std::string_view text, std::size_t limit, Keep keep);

// The columns of a terminal, or nothing if `fd` is none.
std::optional<std::size_t> terminal_width(int fd);

}  // namespace dstack::shim::client
