#include "common/text/shell_words.h"

#include <utility>

namespace dstack::text {

namespace {

bool separates(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// What a backslash in double quotes takes the meaning from.
bool is_special_in_quotes(char c) { return c == '$' || c == '`' || c == '"' || c == '\\'; }

// Appends what stands between the quotes to `word`; returns what follows the closing one, or nothing without one.
std::optional<std::string_view> take_quoted(std::string_view rest, char quote, std::string& word) {
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == quote) return rest;
    if (c == '\\' && quote == '"' && !rest.empty() && (is_special_in_quotes(rest.front()) || rest.front() == '\n')) {
      if (rest.front() != '\n') word += rest.front();
      rest.remove_prefix(1);
    } else {
      word += c;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string shell_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += R"('"'"')";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::optional<std::vector<std::string>> split_shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::optional<std::string> word;  // the one that has begun; "" for a pair of quotes
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (separates(c)) {
      if (auto ended = std::exchange(word, std::nullopt)) words.push_back(*std::move(ended));
      continue;
    }
    if (c == '\\' && text.empty()) return std::nullopt;
    if (c == '\\' && text.front() == '\n') {
      text.remove_prefix(1);
      continue;
    }
    if (!word) word.emplace();
    if (c == '\'' || c == '"') {
      const auto rest = take_quoted(text, c, *word);
      if (!rest) return std::nullopt;
      text = *rest;
    } else if (c == '\\') {
      *word += text.front();
      text.remove_prefix(1);
    } else {
      *word += c;
    }
  }
  if (word) words.push_back(*std::move(word));
  return words;
}

}  // namespace dstack::text
