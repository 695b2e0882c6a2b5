#include "common/files/file_identity.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "common/error.h"

namespace dstack::files {

namespace {

using Capabilities = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct own_header() { return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}; }

// The call itself tells nothing of a failure; one with an impossible id tells what holds.
uid_t current_uid() { return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))); }
gid_t current_gid() { return static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1))); }

}  // namespace

FileIdentity::FileIdentity(const std::optional<Owner>& owner) {
  if (!owner) return;
  const Owner previous{.uid = current_uid(), .gid = current_gid()};
  if (previous.uid == owner->uid && previous.gid == owner->gid) return;
  Capabilities capabilities{};
  auto header = own_header();
  const bool known = ::syscall(SYS_capget, &header, capabilities.data()) == 0;
  ::setfsgid(owner->gid);
  ::setfsuid(owner->uid);
  if (current_uid() != owner->uid || current_gid() != owner->gid) {
    ::setfsuid(previous.uid);
    ::setfsgid(previous.gid);
    throw os_error("create files as", "the job's user", EPERM);
  }
  previous_ = previous;
  // The kernel takes root's power over files along with the name. A folder above the repo may be closed to the user.
  header = own_header();
  if (known) ::syscall(SYS_capset, &header, capabilities.data());
}

FileIdentity::~FileIdentity() {
  if (!previous_) return;
  ::setfsuid(previous_->uid);
  ::setfsgid(previous_->gid);
}

}  // namespace dstack::files
