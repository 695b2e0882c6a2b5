#include "shim/gpu/tool_output.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

constexpr std::string_view blanks = " \t\r\n";
// Without the persistence daemon the driver is set up anew for every call, which takes seconds for each GPU.
constexpr std::chrono::minutes tool_limit{1};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

}  // namespace

std::string run_driver_tool(std::vector<std::string> arguments, os::Clock& clock) {
  const os::Command command{.arguments = std::move(arguments), .limit = tool_limit};
  os::CommandResult result = os::run_command(command, {}, clock);
  const std::string& name = command.arguments.front();
  if (!result.succeeded()) {
    throw Error(ErrorKind::unavailable,
                std::format("{} {}; it printed {}", name, result.describe(), printable(result.output)));
  }
  if (result.truncated) throw Error(ErrorKind::unavailable, std::format("{} printed far too much", name));
  return std::move(result.output);
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::vector<std::string_view> csv_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(trim(line.substr(0, comma)));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::vector<std::string_view> lines_of(std::string_view output) {
  std::vector<std::string_view> lines;
  while (!output.empty()) {
    const std::string_view line = take_line(output);
    if (trim(line).empty()) continue;
    if (lines.size() == gpu_limit) throw Error(ErrorKind::unavailable, std::format("more than {} lines", gpu_limit));
    lines.push_back(line);
  }
  return lines;
}

std::string driver_version(std::string_view text) {
  constexpr std::array<std::string_view, 9> placeholders{"N/A",           "[N/A]",           "unknown",
                                                         "[unknown]",     "not supported",   "[not supported]",
                                                         "not available", "[not available]", "[unknown error]"};
  text = trim(text);
  const bool is_placeholder =
      std::ranges::any_of(placeholders, [&](std::string_view word) { return same_word(word, text); });
  return is_placeholder ? "" : std::string(text);
}

std::optional<std::int64_t> parse_mebibytes(std::string_view text) {
  text = trim(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (error != std::errc() || value < 0 || value > most) return std::nullopt;
  const std::string_view unit = trim(text.substr(static_cast<std::size_t>(end - text.data())));
  // The tools mean the same by MB and MiB.
  if (unit.empty() || same_word(unit, "MiB") || same_word(unit, "MB")) return value;
  if (same_word(unit, "GiB") || same_word(unit, "GB")) return value * 1024;
  if (same_word(unit, "KiB") || same_word(unit, "KB")) return value / 1024;
  return std::nullopt;
}

json parse_json(std::string_view output) {
  std::string_view rest = output;
  while (!rest.empty()) {
    const std::string_view here = rest;
    const std::string_view line = trim(take_line(rest));
    if (!line.starts_with('{') && !line.starts_with('[')) continue;
    json value = json::parse(here, nullptr, false);
    if (!value.is_discarded()) return value;
  }
  throw Error(ErrorKind::unavailable, std::format("no JSON in {}", printable(trim(output))));
}

const json& member(const json& object, std::string_view name) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  if (const auto exact = object.find(name); exact != object.end()) return *exact;
  for (const auto& [key, value] : object.items()) {
    if (same_word(key, name)) return value;
  }
  return nothing;
}

std::string text_member(const json& object, std::string_view name) {
  const json& value = member(object, name);
  return value.is_string() ? std::string(trim(value.get_ref<const std::string&>())) : "";
}

}  // namespace dstack::shim::gpu
