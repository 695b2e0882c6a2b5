#include "shim/volume/tool.h"

#include <algorithm>
#include <format>

#include "common/error.h"

namespace dstack::shim::volume {

os::CommandResult run_tool(std::vector<std::string> arguments, std::chrono::milliseconds limit,
                           const std::stop_token& stop, os::Clock& clock) {
  const os::Command command{.arguments = std::move(arguments), .limit = limit};
  os::CommandResult result = os::run_command(command, stop, clock);
  using End = os::CommandResult::End;
  if (result.end == End::cancelled) {
    throw Error(ErrorKind::cancelled, std::format("{}: cancelled", command.arguments.front()));
  }
  if (result.end == End::timed_out) {
    throw Error(ErrorKind::timed_out, std::format("{}: {}", command.arguments.front(), result.describe()));
  }
  return result;
}

std::string_view next_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    words.push_back(line.substr(0, line.find_first_of(blanks)));
    line.remove_prefix(words.back().size());
  }
}

}  // namespace dstack::shim::volume
