#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "runner/repo/url.h"

namespace dstack::runner::repo {

// The proxy for an address by the environment, as curl and git choose it: https_proxy or http_proxy by the address's
// scheme, then all_proxy, each in lower case first and then in upper case, but none for what no_proxy names.
// `configured` is git's setting http.proxy, which counts before the variables; empty there means none. Nothing for a
// connection without one. `variable` stands for getenv(3).
std::optional<std::string> find_proxy(const Url& url, const std::optional<std::string>& configured,
                                      const std::function<const char*(const char*)>& variable);

// Whether `host`, a name or a numeric address, is one that `no_proxy` names: names with or without a dot before them
// and all below them, addresses, networks (10.0.0.0/8), and * for all, with commas or blanks in between.
bool is_exempt(std::string_view host, std::string_view no_proxy);

}  // namespace dstack::runner::repo
