#include "runner/repo/url.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/text/letter_case.h"

namespace dstack::runner::repo {

namespace {

std::optional<Url> parse_short_form(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.substr(0, colon).contains('/')) return std::nullopt;
  Url url{.scheme = "ssh", .path = std::string(text.substr(colon + 1)), .short_form = true};
  std::string_view host = text.substr(0, colon);
  if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) {
    url.user = host.substr(0, at);
    host.remove_prefix(at + 1);
  }
  url.host = text::lower_case(host);
  if (url.host.empty()) return std::nullopt;
  return url;
}

}  // namespace

std::optional<Url> parse_url(std::string_view text) {
  const std::size_t separator = text.find("://");
  if (separator == std::string_view::npos) return parse_short_form(text);
  Url url{.scheme = text::lower_case(text.substr(0, separator))};
  const std::string_view rest = text.substr(separator + 3);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  url.path = rest.substr(slash);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.user = authority.substr(0, std::min(authority.find(':'), at));
    authority.remove_prefix(at + 1);
  }
  // An IPv6 address has colons of its own, in brackets.
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) url.port = authority.substr(colon + 1);
  url.host = text::lower_case(authority.substr(0, colon));
  if (url.host.empty()) return std::nullopt;
  return url;
}

std::string without_secrets(std::string_view text) {
  text = text.substr(0, text.find_first_of("?#"));
  const std::size_t separator = text.find("://");
  if (separator == std::string_view::npos) return std::string(text);
  const std::size_t start = separator + 3;
  const std::string_view authority = text.substr(start, text.find('/', start) - start);
  const std::size_t at = authority.rfind('@');
  if (at == std::string_view::npos) return std::string(text);
  return std::string(text.substr(0, start)) + std::string(text.substr(start + at + 1));
}

std::string resolve_submodule_url(std::string_view text, std::string_view parent) {
  if (!text.starts_with("./") && !text.starts_with("../")) return std::string(text);
  const Error outside(ErrorKind::invalid,
                      std::format("{} leads out of {}", printable(text), printable(without_secrets(parent))));
  std::string base(parent);
  while (base.ends_with('/')) base.pop_back();
  std::string_view rest = text;
  // What stands before the path is not to be cut off.
  const std::size_t separator = base.find("://");
  const std::size_t root = separator == std::string::npos ? base.find(':') + 1 : base.find('/', separator + 3);
  if (root == std::string::npos) throw outside;
  while (true) {
    if (rest.starts_with("./")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with("../")) {
      rest.remove_prefix(3);
      if (base.size() <= root || base.back() == ':') throw outside;
      const std::size_t slash = base.rfind('/');
      base.resize(slash == std::string::npos || slash < root ? root : slash);
    } else {
      break;
    }
  }
  if (!base.ends_with(':')) base += '/';
  base += rest;
  while (base.ends_with('/')) base.pop_back();
  return base;
}

}  // namespace dstack::runner::repo
