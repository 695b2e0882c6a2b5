#include "runner/repo/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>
#include <format>

#include "common/error.h"
#include "common/text/letter_case.h"

namespace dstack::runner::repo {

namespace {

std::string upper_case(std::string_view name) {
  std::string result(name);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

std::string_view without_brackets(std::string_view host) {
  return host.size() > 2 && host.front() == '[' && host.back() == ']' ? host.substr(1, host.size() - 2) : host;
}

struct Address {
  int family = 0;
  std::array<unsigned char, 16> bytes{};
};

std::optional<Address> parse_address(std::string_view text) {
  const std::string numbers(without_brackets(text));
  for (const int family : {AF_INET, AF_INET6}) {
    Address address{.family = family};
    if (::inet_pton(family, numbers.c_str(), address.bytes.data()) == 1) return address;
  }
  return std::nullopt;
}

bool is_in_network(const Address& address, std::string_view network) {
  const std::size_t slash = network.find('/');
  const auto base = parse_address(network.substr(0, slash));
  if (!base || base->family != address.family) return false;
  std::size_t bits = address.family == AF_INET ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view length = network.substr(slash + 1);
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), value);
    if (error != std::errc{} || end != length.data() + length.size() || value > bits) return false;
    bits = value;
  }
  const std::size_t whole = bits / 8;
  if (std::memcmp(address.bytes.data(), base->bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const unsigned mask = 0xff00U >> (bits % 8) & 0xffU;
  return ((address.bytes[whole] ^ base->bytes[whole]) & mask) == 0;
}

bool matches(std::string_view host, std::string_view entry) {
  if (entry.ends_with('.')) entry.remove_suffix(1);
  if (entry.starts_with('.')) entry.remove_prefix(1);
  if (entry.empty() || !host.ends_with(entry)) return false;
  return host.size() == entry.size() || host[host.size() - entry.size() - 1] == '.';
}

}  // namespace

bool is_exempt(std::string_view host, std::string_view no_proxy) {
  std::string name = text::lower_case(without_brackets(host));
  if (name.ends_with('.')) name.pop_back();
  const auto address = parse_address(name);
  constexpr std::string_view separators = ", \t";
  while (true) {
    no_proxy.remove_prefix(std::min(no_proxy.find_first_not_of(separators), no_proxy.size()));
    if (no_proxy.empty()) return false;
    const std::string entry = text::lower_case(no_proxy.substr(0, no_proxy.find_first_of(separators)));
    no_proxy.remove_prefix(entry.size());
    if (entry == "*" || (address ? is_in_network(*address, entry) : matches(name, entry))) return true;
  }
}

std::optional<std::string> find_proxy(const Url& url, const std::optional<std::string>& configured,
                                      const std::function<const char*(const char*)>& variable) {
  const auto value = [&variable](const std::string& name) -> std::string {
    for (const std::string& each : {name, upper_case(name)}) {
      const char* text = variable(each.c_str());
      if (text != nullptr && *text != '\0') return text;
    }
    return "";
  };
  if (url.scheme != "http" && url.scheme != "https") return std::nullopt;
  std::string proxy = configured ? *configured : value(url.scheme + "_proxy");
  if (proxy.empty() && !configured) proxy = value("all_proxy");
  if (proxy.empty() || is_exempt(url.host, value("no_proxy"))) return std::nullopt;
  const std::size_t separator = proxy.find("://");
  if (separator == std::string::npos) return "http://" + proxy;
  const std::string scheme = text::lower_case(std::string_view(proxy).substr(0, separator));
  if (scheme == "http" || scheme == "https") return proxy;
  throw Error(ErrorKind::invalid, std::format("the proxy {} cannot be used for a clone: it must be an http:// one",
                                              printable(without_secrets(proxy))));
}

}  // namespace dstack::runner::repo
