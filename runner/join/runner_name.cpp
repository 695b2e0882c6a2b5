#include "runner/join/runner_name.h"

#include <algorithm>
#include <format>

#include "common/text/number.h"

namespace dstack::runner::join {

namespace {

constexpr std::size_t kLongest = 41;

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

bool is_runner_name(std::string_view name) {
  if (name.size() < 2 || name.size() > kLongest || !is_letter(name[0])) return false;
  return std::ranges::all_of(name, [](char c) { return is_letter(c) || text::is_digit(c) || c == '-'; });
}

std::string runner_name_of(std::string_view host_name) {
  std::string name;
  for (char c : host_name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_letter(c) && !text::is_digit(c)) c = '-';
    if (c == '-' && name.ends_with('-')) continue;
    name += c;
  }
  if (name.empty() || !is_letter(name[0])) name = name.starts_with('-') ? "r" + name : "r-" + name;
  name.resize(std::min(name.size(), kLongest));
  while (name.size() > 2 && name.ends_with('-')) name.pop_back();
  if (name.size() < 2) name = "r-" + name;
  return name;
}

std::string numbered(std::string_view name, int number) {
  const std::string suffix = std::format("-{}", number);
  std::string base(name.substr(0, kLongest - suffix.size()));
  while (base.ends_with('-')) base.pop_back();
  return base + suffix;
}

}  // namespace dstack::runner::join
