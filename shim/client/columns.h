#pragma once

#include <string>
#include <vector>

namespace dstack::shim::client {

using Rows = std::vector<std::vector<std::string>>;

// Rows of the same length as a table, its columns two blanks apart and without blanks at the end of a line.
std::string in_columns(const Rows& rows);

}  // namespace dstack::shim::client
