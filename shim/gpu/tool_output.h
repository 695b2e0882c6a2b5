#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "common/os/command.h"
#include "shim/gpu/inventory.h"

// How the vendors' tools write what they know.
namespace dstack::shim::gpu {

// What a tool printed. Its exit status decides nothing: many of them end with an error although they named every GPU.
struct ToolOutput {
  std::string text;
  std::string failure;  // "exited with status 15: …" and the like; empty if it succeeded
};

// Runs a tool of the driver, which may first have to wake eight GPUs. Throws Error: not_found if it is not installed,
// unavailable if it does not end within a minute, cancelled if `stop` comes first.
ToolOutput run_driver_tool(std::vector<std::string> arguments, os::Clock& clock, const std::stop_token& stop);

// Logs a failure of a tool that named GPUs all the same. Throws Error (unavailable) with what the tool said if it named
// no GPU.
Inventory require_gpus(Inventory inventory, std::string_view tool, const ToolOutput& output);

// The rows of one tool that were passed over: each is logged, up to a limit, and then counted.
class SkippedRows {
 public:
  explicit SkippedRows(std::string tool) : tool_(std::move(tool)) {}
  SkippedRows(const SkippedRows&) = delete;
  SkippedRows& operator=(const SkippedRows&) = delete;
  ~SkippedRows();

  void add(std::string_view row, std::string_view reason);

 private:
  std::string tool_;
  std::size_t count_ = 0;
};
// The fields of one line of "--format=csv", without blanks around them. The tools quote nothing.
std::vector<std::string_view> csv_fields(std::string_view line);

// The lines of an output that are not blank.
std::vector<std::string_view> lines_of(std::string_view output);

// Whether a tool writes this in place of a value: "", "N/A", "[Not Supported]", "[GPU is lost]" …
bool is_placeholder(std::string_view text);

// Whether this may be what a tool calls a GPU: one word with a digit in it, not a placeholder.
bool is_id(std::string_view text);

// The value of a field; empty for a placeholder. Of a driver's version or a GPU's name.
std::string known_value(std::string_view text);

// MiB of "81559", "81559 MiB", "80 GiB"; nothing for anything else.
std::optional<std::int64_t> parse_mebibytes(std::string_view text);

// The objects with this member (in any letter case) in an output, whatever stands around and between them: lists that
// hold them, warnings, an end that is cut off.
std::vector<nlohmann::json> json_rows(std::string_view output, std::string_view member_name);

// A member of an object by its name in any letter case, which differs between versions; null if it is not there.
const nlohmann::json& member(const nlohmann::json& object, std::string_view name);

// A member that is a string, without blanks around it; empty if it is none.
std::string text_member(const nlohmann::json& object, std::string_view name);

}  // namespace dstack::shim::gpu
