#include "runner/repo/proxy.h"

#include <catch2/catch_test_macros.hpp>
#include <map>

#include "common/error.h"

namespace dstack::runner::repo {

namespace {

std::optional<std::string> proxy_by(const std::map<std::string, std::string>& variables, const std::string& url,
                                    const std::optional<std::string>& configured = std::nullopt) {
  return find_proxy(*parse_url(url), configured, [&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

constexpr const char* kUrl = "https://git.example.com/repo.git";

}  // namespace

TEST_CASE("a proxy is taken from the variables of the address's scheme, in lower case first") {
  CHECK(proxy_by({{"https_proxy", "http://a:1"}, {"HTTPS_PROXY", "http://b:1"}}, kUrl) == "http://a:1");
  CHECK(proxy_by({{"https_proxy", ""}, {"HTTPS_PROXY", "http://b:1"}}, kUrl) == "http://b:1");
  CHECK(proxy_by({{"http_proxy", "http://a:1"}}, kUrl) == std::nullopt);
  CHECK(proxy_by({{"all_proxy", "http://c:1"}, {"HTTPS_PROXY", "http://b:1"}}, kUrl) == "http://b:1");
  CHECK(proxy_by({{"all_proxy", "http://c:1"}}, kUrl) == "http://c:1");
  CHECK(proxy_by({{"ALL_PROXY", "http://d:1"}}, kUrl) == "http://d:1");
  CHECK(proxy_by({{"https_proxy", "proxy:3128"}}, kUrl) == "http://proxy:3128");
  CHECK(proxy_by({{"https_proxy", "http://a:1"}}, "ssh://git@git.example.com/x") == std::nullopt);
}

TEST_CASE("git's own setting counts before the variables, empty for none") {
  CHECK(proxy_by({{"https_proxy", "http://a:1"}}, kUrl, "http://set:1") == "http://set:1");
  CHECK(proxy_by({{"https_proxy", "http://a:1"}}, kUrl, "") == std::nullopt);
}

TEST_CASE("hosts that no_proxy names are reached without a proxy, in both letter cases") {
  CHECK(proxy_by({{"https_proxy", "http://a:1"}, {"no_proxy", "x,example.com"}}, kUrl) == std::nullopt);
  CHECK(proxy_by({{"https_proxy", "http://a:1"}, {"NO_PROXY", "git.example.com"}}, kUrl) == std::nullopt);
  CHECK(proxy_by({{"https_proxy", "http://a:1"}, {"no_proxy", "other.com"}}, kUrl) == "http://a:1");
}

TEST_CASE("no_proxy has names, everything below them, addresses and networks") {
  CHECK(is_exempt("git.example.com", ".example.com"));
  CHECK(is_exempt("Git.Example.com", "EXAMPLE.COM"));
  CHECK(is_exempt("example.com", ".example.com"));
  CHECK_FALSE(is_exempt("badexample.com", "example.com"));
  CHECK(is_exempt("anything", "a, *"));
  CHECK(is_exempt("b", "a b\tc"));
  CHECK(is_exempt("10.1.2.3", "10.0.0.0/8"));
  CHECK_FALSE(is_exempt("11.1.2.3", "10.0.0.0/8"));
  CHECK(is_exempt("192.168.1.200", "192.168.1.128/25"));
  CHECK_FALSE(is_exempt("192.168.1.100", "192.168.1.128/25"));
  CHECK(is_exempt("[fd00::1]", "fd00::/16"));
  CHECK(is_exempt("[::1]", "[::1]"));
  CHECK_FALSE(is_exempt("10.1.2.3", "2.3"));
  CHECK_FALSE(is_exempt("10.1.2.3", "10.0.0.0/99"));
  CHECK_FALSE(is_exempt("host", ""));
}

TEST_CASE("a proxy of another kind is named without its password") {
  try {
    proxy_by({{"all_proxy", "socks5://user:secret@proxy:1080"}}, kUrl);
    FAIL("it was taken");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).contains("socks5://proxy:1080"));
    CHECK_FALSE(std::string(error.what()).contains("secret"));
  }
}

}  // namespace dstack::runner::repo
