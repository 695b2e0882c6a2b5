#include "shim/gpu/tool_output.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text/letter_case.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

// Without the persistence daemon the driver is set up anew for every call, which takes seconds for each GPU.
constexpr std::chrono::minutes kToolLimit{1};
constexpr std::size_t kLoggedRows = 20;
constexpr int kBraceLimit = 4096;
constexpr std::size_t kRowLimit = std::size_t{256} << 10;

// The length of the object at the start of `text`, by its braces outside of strings; 0 if it has no end.
std::size_t object_length(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      // No string has a line break in it: what began there is cut off.
      if (c == '"' || c == '\n') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return 0;
}

}  // namespace

ToolOutput run_driver_tool(std::vector<std::string> arguments, os::Clock& clock, const std::stop_token& stop) {
  // A driver that hangs does so whatever its tool is asked.
  const os::Command command{.arguments = arguments, .limit = kToolLimit, .key = arguments.front()};
  os::CommandResult result = os::run_command(command, stop, clock);
  const std::string& name = command.arguments.front();
  if (result.end == os::CommandResult::End::timed_out) {
    throw Error(ErrorKind::unavailable, std::format("{} {}", name, result.describe()));
  }
  return {.text = std::move(result.output), .failure = result.succeeded() ? "" : result.describe()};
}

Inventory require_gpus(Inventory inventory, std::string_view tool, const ToolOutput& output) {
  if (inventory.gpus.empty()) {
    throw Error(ErrorKind::unavailable,
                std::format("{} lists no GPU: it {}; it printed {}", tool,
                            output.failure.empty() ? "succeeded" : output.failure, printable(text::trim(output.text))));
  }
  if (!output.failure.empty())
    spdlog::warn("{} {}, but it listed {} GPUs, which are used", tool, output.failure, inventory.gpus.size());
  return inventory;
}

SkippedRows::~SkippedRows() {
  if (count_ > kLoggedRows) spdlog::warn("{}: {} more rows were skipped", tool_, count_ - kLoggedRows);
}

void SkippedRows::add(std::string_view row, std::string_view reason) {
  if (++count_ <= kLoggedRows) spdlog::warn("{}: {}: {}", tool_, reason, printable(row));
}

std::vector<std::string_view> csv_fields(std::string_view line) {
  std::vector<std::string_view> fields = text::split(line, ',');
  for (std::string_view& field : fields) field = text::trim(field);
  return fields;
}

std::vector<std::string_view> lines_of(std::string_view output) {
  std::vector<std::string_view> lines;
  while (!output.empty()) {
    const std::string_view line = text::take_line(output);
    if (text::trim(line).empty()) continue;
    lines.push_back(line);
  }
  return lines;
}

bool is_placeholder(std::string_view text) {
  constexpr std::array<std::string_view, 7> words{"N/A",           "unknown",     "unknown error", "not supported",
                                                  "not available", "GPU is lost", "ERR!"};
  text = text::trim(text);
  if (text.empty() || (text.starts_with('[') && text.ends_with(']'))) return true;
  return std::ranges::any_of(words, [&](std::string_view word) { return text::equal_ignoring_case(word, text); });
}

bool is_id(std::string_view text) {
  constexpr std::size_t longest = 128;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !is_placeholder(text) && text.size() <= longest && std::ranges::any_of(text, is_digit) &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

std::string known_value(std::string_view text) {
  text = text::trim(text);
  return is_placeholder(text) ? "" : std::string(text);
}

std::optional<std::int64_t> parse_mebibytes(std::string_view text) {
  text = text::trim(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (error != std::errc() || value < 0 || value > most) return std::nullopt;
  const std::string_view unit = text::trim(text.substr(static_cast<std::size_t>(end - text.data())));
  // The tools mean the same by MB and MiB.
  if (unit.empty() || text::equal_ignoring_case(unit, "MiB") || text::equal_ignoring_case(unit, "MB")) return value;
  if (text::equal_ignoring_case(unit, "GiB") || text::equal_ignoring_case(unit, "GB")) return value * 1024;
  if (text::equal_ignoring_case(unit, "KiB") || text::equal_ignoring_case(unit, "KB")) return value / 1024;
  return std::nullopt;
}

std::vector<json> json_rows(std::string_view output, std::string_view member_name) {
  std::vector<json> rows;
  // Each brace costs a look at all that follows it.
  int braces = 0;
  std::size_t at = 0;
  while ((at = output.find('{', at)) != std::string_view::npos && ++braces <= kBraceLimit) {
    const std::string_view text = output.substr(at, object_length(output.substr(at, kRowLimit)));
    json object = json::parse(text, nullptr, false);
    if (object.is_object() && !member(object, member_name).is_null()) {
      rows.push_back(std::move(object));
      at += text.size();
    } else {
      ++at;
    }
  }
  return rows;
}

const json& member(const json& object, std::string_view name) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  if (const auto exact = object.find(name); exact != object.end()) return *exact;
  for (const auto& [key, value] : object.items()) {
    if (text::equal_ignoring_case(key, name)) return value;
  }
  return nothing;
}

std::string text_member(const json& object, std::string_view name) {
  const json& value = member(object, name);
  return value.is_string() ? std::string(text::trim(value.get_ref<const std::string&>())) : "";
}

}  // namespace dstack::shim::gpu
