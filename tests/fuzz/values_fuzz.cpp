// Short texts that people write in flags, files and job definitions: sizes, durations, ports, folders, addresses. Each
// line of the input is read as all of them.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/http/url.h"
#include "common/os/user_db.h"
#include "common/server_api/settings.h"
#include "common/text/quantity.h"
#include "common/text/shell_words.h"
#include "common/text/split.h"
#include "runner/repo/url.h"
#include "shim/autoscale/rule.h"
#include "shim/ci/container_flags.h"
#include "shim/ci/github/docker_values.h"
#include "shim/ci/idle_time.h"
#include "shim/ci/repository.h"
#include "shim/client/copy_paths.h"
#include "shim/client/host_folder.h"
#include "shim/client/published_port.h"
#include "shim/images/disk_share.h"
#include "shim/task/kept_logs.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack;
using test::planted_bug;

template <typename Function>
void may_refuse(Function function) {
  try {
    function();
  } catch (const Error&) {
  }
}

// Between a URL's scheme and its path.
bool has_login(const std::string& url) {
  const std::size_t scheme = url.find("://");
  return scheme != std::string::npos && url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3).contains('@');
}

void read(const std::string& text) {
  text::parse_size(text);
  if (const auto duration = text::parse_duration(text); duration && duration->count() < 0) std::abort();
  if (const auto words = text::split_shell_words(text))
    planted_bug(words->size() == 3 && (*words)[1].contains(' ') && (*words)[1].contains('\''));
  os::parse_user_id(text);
  http::parse_url(text);
  server_api::host_of_url(text);
  server_api::is_loopback_url(text);
  runner::repo::parse_url(text);
  if (has_login(runner::repo::without_secrets(text))) std::abort();
  shim::autoscale::parse_duration(text);
  shim::autoscale::looks_like_instance_type(text);
  shim::ci::parse_volume(text);
  shim::ci::github::parse_docker_decimal(text);
  shim::ci::github::parse_docker_size(text);
  shim::ci::github::parse_docker_duration(text);
  shim::ci::parse_idle_time(text);
  shim::ci::parse_repository(text);
  shim::client::parse_host_folder(text);
  if (const auto port = shim::client::parse_published_port(text)) {
    if (port->host < 0 || port->host > 65535 || port->container < 1 || port->container > 65535) std::abort();
  }
  may_refuse([&] { shim::client::parse_copy_side(text); });
  may_refuse([&] { shim::images::parse_disk_share(text).of(UINT64_MAX); });
  may_refuse([&] { shim::task::parse_log_limits(text); });
  may_refuse([&] { runner::repo::resolve_submodule_url(text, "https://example.org/a/b.git"); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (std::string_view rest(reinterpret_cast<const char*>(data), size); !rest.empty();) {
    read(std::string(text::take_line(rest)));
  }
  return 0;
}
