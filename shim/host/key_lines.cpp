#include "shim/host/key_lines.h"

#include <algorithm>
#include <array>
#include <format>
#include <optional>
#include <set>

namespace dstack::shim::host {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// "ssh-ed25519 AAAA…" of a line without options: what makes two lines the same key, whatever the comment. A line that
// is not of this form is only the same as itself.
std::string identity_of(std::string_view line) {
  std::string_view rest = line;
  const std::string_view type = take_word(rest);
  const std::string_view data = take_word(rest);
  constexpr std::array<std::string_view, 3> beginnings{"ssh-", "ecdsa-", "sk-"};
  const bool plain = std::ranges::any_of(beginnings, [&](std::string_view start) { return type.starts_with(start); });
  return plain && !data.empty() ? std::format("{} {}", type, data) : std::string(trim(line));
}

// The key of one of our lines; nothing for a line that is not ours.
std::optional<std::string_view> our_key(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (!line.ends_with(kKeyLineSuffix)) return std::nullopt;
  line.remove_suffix(kKeyLineSuffix.size());
  return line;
}

// Calls `take` with each line and its end, "\n" or at the end of the text nothing.
template <typename Take>
void for_each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    take(text.substr(0, length));
    text.remove_prefix(length);
  }
}

}  // namespace

bool change_our_keys(std::string& text, const KeyChange& change) {
  const auto identities = [](const std::vector<std::string>& keys) {
    std::set<std::string> all;
    for (const std::string& key : keys) all.insert(identity_of(key));
    return all;
  };
  const std::set<std::string> added = identities(change.add);
  const std::set<std::string> kept = identities(change.keep);
  const std::set<std::string> removed = identities(change.remove);
  const auto stays = [&](const std::string& identity) {
    return added.contains(identity) || kept.contains(identity) || !(change.remove_others || removed.contains(identity));
  };

  std::string result;
  std::set<std::string> present;
  for_each_line(text, [&](std::string_view line) {
    const auto key = our_key(line);
    if (!key) {
      present.insert(identity_of(line));
      result += line;
    } else if (stays(identity_of(*key)) && present.insert(identity_of(*key)).second) {
      result += line;
    }
  });
  for (const std::string& key : change.add) {
    if (!present.insert(identity_of(key)).second) continue;
    if (!result.empty() && !result.ends_with('\n')) result += '\n';
    result += std::format("{}{}\n", trim(key), kKeyLineSuffix);
  }
  if (result == text) return false;
  text = std::move(result);
  return true;
}

bool has_our_keys(const std::string& text, const std::vector<std::string>& but) {
  std::string changed = text;
  return change_our_keys(changed, {.keep = but, .remove_others = true});
}

}  // namespace dstack::shim::host
