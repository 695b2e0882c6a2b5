#include "shim/dcgm/metrics_filter.h"

#include <algorithm>
#include <format>

namespace dstack::shim::dcgm {

namespace {

std::string_view take_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

// The metric that "# HELP name …" or "# TYPE name …" is about; empty for any other line.
std::string_view subject(std::string_view line, std::string_view keyword) {
  if (!line.starts_with(keyword)) return {};
  line.remove_prefix(keyword.size());
  return line.substr(0, line.find(' '));
}

std::string_view metric_of(std::string_view sample) { return sample.substr(0, sample.find_first_of("{ ")); }

}  // namespace

std::string metrics_of(std::string_view text, const std::vector<std::string>& uuids) {
  constexpr std::string_view help_keyword = "# HELP ";
  constexpr std::string_view type_keyword = "# TYPE ";
  std::vector<std::string> labels;
  labels.reserve(uuids.size());
  for (const std::string& uuid : uuids) labels.push_back(std::format("\"{}\"", uuid));
  std::string kept;
  std::string_view help;
  std::string_view type;
  const auto keep = [&kept](std::string_view line) {
    kept += line;
    kept += '\n';
  };
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (!subject(line, help_keyword).empty()) {
      help = line;
    } else if (!subject(line, type_keyword).empty()) {
      type = line;
    } else if (!line.starts_with('#') &&
               std::ranges::any_of(labels, [line](const std::string& label) { return line.contains(label); })) {
      // Once, before the first of its samples.
      if (subject(help, help_keyword) == metric_of(line)) keep(std::exchange(help, {}));
      if (subject(type, type_keyword) == metric_of(line)) keep(std::exchange(type, {}));
      keep(line);
    }
  }
  return kept;
}

}  // namespace dstack::shim::dcgm
