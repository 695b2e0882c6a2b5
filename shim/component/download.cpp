#include "shim/component/download.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <format>
#include <vector>

#include "common/error.h"
#include "common/http/client.h"
#include "common/http/url.h"
#include "common/os/clock.h"
#include "common/os/command.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"
#include "common/text/split.h"

namespace dstack::shim::component {

namespace {

constexpr int kRedirectLimit = 10;
constexpr std::chrono::minutes kDownloadLimit{10};
constexpr std::chrono::seconds kVersionLimit{10};

// Writes what the URL answers to `fd`, which is empty.
void fetch(std::string address, int fd, const std::filesystem::path& file, const std::stop_token& stop) {
  const os::SteadyTime deadline = os::system_clock().now() + kDownloadLimit;
  for (int redirects = 0; redirects <= kRedirectLimit; ++redirects) {
    const auto url = http::parse_url(address);
    if (!url) {
      throw Error(ErrorKind::invalid,
                  std::format("download {}: not an http or https URL", http::loggable_url(address)));
    }
    http::Client client({.base_url = url->base});
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - os::system_clock().now());
    if (rest.count() <= 0)
      throw Error(ErrorKind::timed_out, "download " + http::loggable_url(address) + ": not finished within 10 min");
    const http::ClientResponse response = client.stream(
        {.path = url->path, .total_limit = rest},
        [&](std::string_view piece) {
          os::write_all(fd, piece, file.string());
          return true;
        },
        stop);
    if (response.status == 200) return;
    const auto location = response.headers.find("location");
    if (response.status < 300 || response.status >= 400 || location == response.headers.end()) {
      const bool is_final = response.status < 500 && response.status != 429;
      throw Error(is_final ? ErrorKind::not_found : ErrorKind::unavailable,
                  std::format("download {}: status {}", http::loggable_url(address), response.status));
    }
    const std::string next = http::resolve_url(address, location->second).value_or(location->second);
    if (url->scheme == "https" && !next.starts_with("https://")) {
      throw Error(ErrorKind::unavailable,
                  std::format("download {}: redirected to {}", http::loggable_url(address), http::loggable_url(next)));
    }
    address = next;
  }
  throw Error(ErrorKind::unavailable, std::format("download {}: too many redirects", http::loggable_url(address)));
}

std::string temporary_prefix(const std::filesystem::path& target) {
  return (target.parent_path() / std::format(".{}.download-", target.filename().string())).string();
}

}  // namespace

void remove_leftovers(const std::filesystem::path& target) {
  const std::string prefix = temporary_prefix(target);
  for (const std::string& name : os::list_directory(target.parent_path()).names) {
    const std::filesystem::path path = target.parent_path() / name;
    if (!path.string().starts_with(prefix)) continue;
    const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
    spdlog::info("removed {}: left from an interrupted download", path.string());
    ::unlink(path.c_str());
  }
}

std::string ask_version(const std::filesystem::path& file, const std::string& name, const std::stop_token& stop) {
  const auto result = os::run_command(
      {.arguments = {file.string(), "--version"}, .environment = std::vector<std::string>{}, .limit = kVersionLimit},
      stop);
  if (!result.succeeded()) {
    throw Error(ErrorKind::unavailable, std::format("ask {} for its version: it {}", file.string(), result.describe()));
  }
  const auto words = text::split_words(result.output);  // NAME version VERSION
  if (words.size() != 3 || words[0] != name) {
    throw Error(ErrorKind::unavailable, std::format("ask {} for its version: it says {}, which is not {}",
                                                    file.string(), printable(result.output), name));
  }
  return std::string(words[2]);
}

Download::Download(const std::string& url, std::filesystem::path target, const std::stop_token& stop, mode_t mode)
    : target_(std::move(target)) {
  os::make_directories(target_.parent_path(), 0755);
  std::string name = temporary_prefix(target_) + "XXXXXX";
  const os::UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) throw os_error("create a temporary file beside", target_.string());
  file_ = name;
  try {
    lock_ = os::open_file(file_, O_RDONLY);
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) throw os_error("lock", name);
    fetch(url, fd.get(), file_, stop);
    if (::fchmod(fd.get(), mode) != 0) throw os_error("set the mode of", name);
    if (::fsync(fd.get()) != 0) throw os_error("flush", name);
  } catch (...) {
    ::unlink(name.c_str());
    throw;
  }
}

Download::~Download() {
  if (!file_.empty()) ::unlink(file_.c_str());
}

void Download::install() {
  if (::rename(file_.c_str(), target_.c_str()) != 0) throw os_error("replace", target_.string());
  file_.clear();
  os::sync_directory(target_.parent_path());
}

}  // namespace dstack::shim::component
