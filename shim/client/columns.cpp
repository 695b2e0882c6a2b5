#include "shim/client/columns.h"

#include <algorithm>

#include "shim/client/text.h"

namespace dstack::shim::client {

std::string in_columns(const Rows& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string table;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      table += row[i];
      if (i + 1 < row.size()) table.append(widths[i] + 2 - columns(row[i]), ' ');
    }
    table += '\n';
  }
  return table;
}

}  // namespace dstack::shim::client
