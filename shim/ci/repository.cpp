#include "shim/ci/repository.h"

#include <algorithm>
#include <format>

#include "common/http/url.h"
#include "common/text/letter_case.h"
#include "common/text/trim.h"

namespace dstack::shim::ci {

namespace {

constexpr std::string_view kGitSuffix = ".git";

// "git@host:path" and "ssh://git@host:22/path" as the web address of the same host.
std::optional<std::string> web_address_of(std::string_view text) {
  constexpr std::string_view kScheme = "ssh://";
  const bool is_url = text.starts_with(kScheme);
  if (is_url) text.remove_prefix(kScheme.size());
  if (!is_url && text.contains("://")) return std::nullopt;
  const std::size_t at = text.find('@');
  const std::size_t end = text.find(is_url ? '/' : ':');
  if (end == std::string_view::npos || (!is_url && at == std::string_view::npos)) return std::nullopt;
  const std::size_t host_begin = at == std::string_view::npos || at > end ? 0 : at + 1;
  std::string_view host = text.substr(host_begin, end - host_begin);
  host = host.substr(0, host.find(':'));
  return std::format("https://{}/{}", host, text.substr(end + 1));
}

std::string tidy_path(std::string_view path) {
  path = path.substr(0, path.find_first_of("?#"));
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.ends_with(kGitSuffix)) path.remove_suffix(kGitSuffix.size());
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

}  // namespace

std::optional<Repository> parse_repository(const std::string& text) {
  const std::string trimmed(text::trim(text));
  const auto url = http::parse_url(web_address_of(trimmed).value_or(trimmed));
  if (!url || url->host.empty()) return std::nullopt;
  Repository repository{.origin = url->base, .host = url->host, .path = tidy_path(url->path)};
  if (repository.path.empty()) return std::nullopt;
  const std::size_t scheme = repository.origin.find("://") + 3;
  if (const std::size_t at = repository.origin.rfind('@'); at != std::string::npos)
    repository.origin.erase(scheme, at + 1 - scheme);
  return repository;
}

}  // namespace dstack::shim::ci
