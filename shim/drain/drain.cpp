#include "shim/drain/drain.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/trim.h"

namespace dstack::shim {

namespace {

std::string described(const std::string& reason) { return reason.empty() ? "" : ": " + printable(reason); }

}  // namespace

Drain::Drain(const std::filesystem::path& home) : file_(home / "drained") {
  const os::Lock lock(mutex_);
  std::error_code failure;
  if (!std::filesystem::exists(file_, failure)) return;
  // One that cannot be read still says that the host is drained.
  reason_ = text::trim(os::try_read_file(file_).value_or(""));
  spdlog::warn("This host is drained and takes no new tasks{}", described(*reason_));
}

std::optional<std::string> Drain::reason() const {
  const os::Lock lock(mutex_);
  return reason_;
}

void Drain::begin(const std::string& reason) {
  const os::Lock lock(mutex_);
  os::write_file_atomic(file_, reason + "\n", 0600);
  reason_ = reason;
  spdlog::warn("Drained: no new tasks are taken{}", described(reason));
}

void Drain::end() {
  const os::Lock lock(mutex_);
  std::error_code failure;
  std::filesystem::remove(file_, failure);
  if (failure) throw os_error("remove", file_.string(), failure.value());
  if (reason_) spdlog::info("No longer drained: new tasks are taken");
  reason_.reset();
}

void Drain::expect_not_drained() const {
  const os::Lock lock(mutex_);
  if (!reason_) return;
  throw Error(ErrorKind::exhausted, std::format("this host is drained and takes no new tasks{}", described(*reason_)));
}

}  // namespace dstack::shim
