#include "common/http/url.h"

#include <curl/curl.h>

#include <memory>

#include "common/text/letter_case.h"

namespace dstack::http {

namespace {

struct FreeUrl {
  void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
};
using Handle = std::unique_ptr<CURLU, FreeUrl>;

std::string part(const Handle& handle, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(handle.get(), which, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
  return text;
}

}  // namespace

std::optional<Url> parse_url(const std::string& text) {
  const Handle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return std::nullopt;
  Url url{.scheme = part(handle, CURLUPART_SCHEME),
          .host = text::lower_case(part(handle, CURLUPART_HOST)),
          .base = {},
          .path = part(handle, CURLUPART_PATH)};
  if (url.scheme != "http" && url.scheme != "https") return std::nullopt;
  if (url.host.starts_with('[')) url.host = url.host.substr(1, url.host.size() - 2);
  if (const std::string query = part(handle, CURLUPART_QUERY); !query.empty()) url.path += "?" + query;
  for (const CURLUPart rest : {CURLUPART_PATH, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    curl_url_set(handle.get(), rest, nullptr, 0);
  url.base = part(handle, CURLUPART_URL);
  if (url.base.ends_with('/')) url.base.pop_back();
  return url;
}

std::optional<std::string> resolve_url(const std::string& base, const std::string& location) {
  const Handle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK)
    return std::nullopt;
  return part(handle, CURLUPART_URL);
}

bool is_loopback_url(const std::string& text) {
  const auto url = parse_url(text);
  return url && (url->host == "localhost" || url->host == "::1" || url->host.starts_with("127."));
}

}  // namespace dstack::http
