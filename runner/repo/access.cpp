#include "runner/repo/access.h"

#include <git2/sys/errors.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <format>
#include <utility>

#include "common/error.h"
#include "runner/repo/private_key.h"
#include "runner/repo/proxy.h"

namespace dstack::runner::repo {

namespace {

constexpr std::chrono::seconds kBetweenLogs{5};
// What servers that take a token as password make of it: nothing.
constexpr const char* kTokenUser = "anything";

}  // namespace

Access::Access(Url remote, const std::optional<Secret>& token, const std::optional<Secret>& key,
               std::function<bool()> stopped, os::Clock& clock)
    : remote_(std::move(remote)), token_(token), key_(key), stopped_(std::move(stopped)), clock_(clock) {}

git_fetch_options Access::fetch_options(const std::string& url) {
  git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
  options.callbacks.payload = this;
  options.callbacks.credentials = acquire;
  options.callbacks.certificate_check = judge_certificate;
  options.callbacks.transfer_progress = on_transfer;
  options.callbacks.sideband_progress = on_sideband;
  const auto parsed = parse_url(url);
  proxy_ = parsed ? find_proxy(*parsed, configured_proxy_, [](const char* name) { return std::getenv(name); })
                  : std::nullopt;
  options.proxy_opts.type = proxy_ ? GIT_PROXY_SPECIFIED : GIT_PROXY_NONE;
  if (proxy_) options.proxy_opts.url = proxy_->c_str();
  options.proxy_opts.certificate_check = judge_certificate;
  options.follow_redirects = GIT_REMOTE_REDIRECT_INITIAL;
  return options;
}

git_checkout_options Access::checkout_options() {
  git_checkout_options options = GIT_CHECKOUT_OPTIONS_INIT;
  options.checkout_strategy = GIT_CHECKOUT_FORCE;
  options.progress_cb = on_checkout;
  options.progress_payload = this;
  return options;
}

void Access::begin(std::string what) {
  expect_not_stopped();
  what_ = std::move(what);
  tried_ = false;
  next_log_ = clock_.now() + kBetweenLogs;
}

void Access::expect_not_stopped() const {
  if (stopped_()) throw Error(ErrorKind::cancelled, "the clone was stopped");
}

std::string Access::reachable(const std::string& url) const {
  const auto parsed = parse_url(url);
  if (!parsed || parsed->scheme != "ssh" || !token_ || parsed->host != remote_.host || !parsed->port.empty())
    return url;
  const std::string port = remote_.port.empty() ? "" : ":" + remote_.port;
  return std::format("https://{}{}{}{}", parsed->host, port, parsed->path.starts_with('/') ? "" : "/", parsed->path);
}

bool Access::time_to_log() {
  const os::SteadyTime now = clock_.now();
  if (now < next_log_) return false;
  next_log_ = now + kBetweenLogs;
  return true;
}

int Access::refuse(const std::string& reason) const {
  git_error_set_str(GIT_ERROR_CALLBACK, reason.c_str());
  return GIT_EAUTH;
}

int Access::acquire(git_credential** out, const char* url, const char* user, unsigned int allowed, void* self) {
  try {
    return static_cast<Access*>(self)->log_in(out, url, user, allowed);
  } catch (const std::exception&) {
    return GIT_ERROR;
  }
}

int Access::log_in(git_credential** out, const std::string& url, const char* user, unsigned int allowed) {
  const auto parsed = parse_url(url);
  const std::string host = parsed ? parsed->host : "an unknown host";
  const std::string name = user != nullptr && *user != '\0' ? user : "git";
  // The server asks for the name alone before it says how it can be proved.
  if ((allowed & GIT_CREDENTIAL_USERNAME) != 0) return git_credential_username_new(out, name.c_str());
  if (std::exchange(tried_, true)) return refuse(std::format("{} does not accept the credentials", host));

  if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) != 0 && parsed && parsed->scheme == "https") {
    if (!token_) return refuse(std::format("{} requires a login, but no token was given", host));
    if (host != remote_.host)
      return refuse(std::format("{} requires a login, but the token is for another host", host));
    return git_credential_userpass_plaintext_new(out, kTokenUser, token_->reveal().c_str());
  }
  if ((allowed & (GIT_CREDENTIAL_SSH_KEY | GIT_CREDENTIAL_SSH_MEMORY)) != 0) {
    if (!key_) return refuse(std::format("{} requires a key, but none was given", host));
    if (host != remote_.host) return refuse(std::format("{} requires a key, but the key is for another host", host));
    std::string key = key_->reveal();
    if (has_passphrase(key)) return refuse("the private key has a passphrase: use a key without one");
    if (!key.ends_with('\n')) key += '\n';
    return git_credential_ssh_key_memory_new(out, name.c_str(), nullptr, key.c_str(), nullptr);
  }
  return refuse(std::format("{} requires an authentication method that is not supported", host));
}

int Access::judge_certificate(git_cert* certificate, int valid, const char* host, void*) {
  // Any host key is taken, as nobody said which one is right. TLS is another matter.
  if (certificate->cert_type == GIT_CERT_HOSTKEY_LIBSSH2) return 0;
  if (valid != 0) return 0;
  const std::string reason = std::format("the certificate of {} is not signed by a trusted CA", host);
  git_error_set_str(GIT_ERROR_SSL, reason.c_str());
  return GIT_ECERTIFICATE;
}

int Access::on_transfer(const git_indexer_progress* progress, void* self) {
  auto& access = *static_cast<Access*>(self);
  if (access.stopped_()) return GIT_EUSER;
  if (access.time_to_log()) {
    if (progress->received_objects < progress->total_objects || progress->total_deltas == 0) {
      spdlog::info("{}: {} of {} objects received, {} MiB", access.what_, progress->received_objects,
                   progress->total_objects, progress->received_bytes >> 20);
    } else {
      spdlog::info("{}: {} of {} deltas resolved", access.what_, progress->indexed_deltas, progress->total_deltas);
    }
  }
  return 0;
}

int Access::on_sideband(const char*, int, void* self) { return static_cast<Access*>(self)->stopped_() ? GIT_EUSER : 0; }

void Access::on_checkout(const char*, std::size_t done, std::size_t total, void* self) {
  auto& access = *static_cast<Access*>(self);
  if (access.time_to_log()) spdlog::info("{}: {} of {} files written", access.what_, done, total);
}

}  // namespace dstack::runner::repo
