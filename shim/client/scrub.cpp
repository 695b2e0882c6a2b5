#include "shim/client/scrub.h"

#include <array>

#include "common/text/letter_case.h"
#include "common/text/split.h"

namespace dstack::shim::client {

namespace {

constexpr std::string_view kRemoved = "[removed]";
constexpr std::string_view kEndOfUrl = " \t\"'<>`,;)]}";

// "https://user:password@host/path?signature" without login and query.
std::string scrub_urls(std::string_view line) {
  std::string out;
  while (true) {
    const std::size_t scheme = line.find("://");
    if (scheme == std::string_view::npos) break;
    const std::size_t begin = scheme + 3;
    const std::size_t end = std::min(line.find_first_of(kEndOfUrl, begin), line.size());
    std::string_view url = line.substr(begin, end - begin);
    out += line.substr(0, begin);
    const std::size_t host_end = std::min(url.find_first_of("/?#"), url.size());
    if (const std::size_t at = url.substr(0, host_end).rfind('@'); at != std::string_view::npos) {
      out += std::string(kRemoved) + "@";
      url.remove_prefix(at + 1);
    }
    const std::size_t query = url.find('?');
    out += url.substr(0, query);
    if (query != std::string_view::npos) out += "?" + std::string(kRemoved);
    line.remove_prefix(end);
  }
  return out.append(line);
}

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

// Where the value begins that belongs to the name at `name_end`: behind quotes, blanks and one of ":=". npos if there
// is none.
std::size_t value_after(std::string_view line, std::size_t name_end) {
  std::size_t at = name_end;
  while (at < line.size() && is_word(line[at])) ++at;
  while (at < line.size() && (line[at] == '"' || line[at] == '\'' || line[at] == ' ')) ++at;
  if (at >= line.size() || (line[at] != ':' && line[at] != '=')) return std::string_view::npos;
  ++at;
  while (at < line.size() && (line[at] == '"' || line[at] == '\'' || line[at] == ' ')) ++at;
  return at < line.size() ? at : std::string_view::npos;
}

std::string scrub_values(const std::string& line) {
  constexpr std::array<std::string_view, 7> kNames{"password", "passwd",  "secret",     "token",
                                                   "api_key",  "api-key", "private_key"};
  const std::string lower = text::lower_case(line);
  std::string out;
  std::size_t done = 0;
  const auto cut = [&](std::size_t begin) {
    if (begin < done) return;
    const std::size_t end = std::min(line.find_first_of(" \t\"',;}", begin), line.size());
    if (end == begin) return;
    out.append(line, done, begin - done).append(kRemoved);
    done = end;
  };
  for (std::size_t at = 0; at < lower.size(); ++at) {
    constexpr std::string_view kBearer = "bearer ";
    if (lower.compare(at, kBearer.size(), kBearer) == 0) cut(at + kBearer.size());
    for (const std::string_view name : kNames) {
      if (lower.compare(at, name.size(), name) != 0) continue;
      if (const std::size_t value = value_after(lower, at + name.size()); value != std::string_view::npos) cut(value);
    }
  }
  return out.append(line, done);
}

}  // namespace

std::string scrub(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const std::string_view line : text::split(text, '\n')) {
    if (!out.empty() || line.data() != text.data()) out += '\n';
    out += scrub_values(scrub_urls(line));
  }
  return out;
}

}  // namespace dstack::shim::client
