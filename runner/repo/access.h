#pragma once

#include <git2.h>

#include <functional>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "common/secret.h"
#include "runner/repo/url.h"

namespace dstack::runner::repo {

// How remotes are talked to: what they are told to prove who asks, which of them are believed, what is logged
// meanwhile, and when to stop. The clone's own credentials are for its own host only. Used on one thread, while a clone
// runs.
class Access {
 public:
  Access(Url remote, const std::optional<Secret>& token, const std::optional<Secret>& key,
         std::function<bool()> stopped, os::Clock& clock);

  // For connections to `url`. The options point to this object, until they are asked for again.
  git_fetch_options fetch_options(const std::string& url);
  git_checkout_options checkout_options();

  // git's own setting http.proxy.
  void use_configured_proxy(std::optional<std::string> proxy) { configured_proxy_ = std::move(proxy); }

  // Before each connection, since a refused login is tried once.
  void begin(std::string what);

  void expect_not_stopped() const;
  // The same place by a protocol that there are credentials for, where the URL's own has none: a submodule by ssh on
  // the host that a token is for.
  std::string reachable(const std::string& url) const;

 private:
  static int acquire(git_credential** out, const char* url, const char* user, unsigned int allowed, void* self);
  static int judge_certificate(git_cert* certificate, int valid, const char* host, void* self);
  static int on_transfer(const git_indexer_progress* progress, void* self);
  static int on_sideband(const char* text, int size, void* self);
  static void on_checkout(const char* path, std::size_t done, std::size_t total, void* self);

  int log_in(git_credential** out, const std::string& url, const char* user, unsigned int allowed);
  int refuse(const std::string& reason) const;
  bool time_to_log();

  const Url remote_;
  const std::optional<Secret>& token_;
  const std::optional<Secret>& key_;
  const std::function<bool()> stopped_;
  os::Clock& clock_;
  std::string what_;
  std::optional<std::string> configured_proxy_;
  std::optional<std::string> proxy_;
  os::SteadyTime next_log_;
  bool tried_ = false;
};

}  // namespace dstack::runner::repo
