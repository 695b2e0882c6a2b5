#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "common/server_api/client.h"
#include "runner/join/places.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// A lock file of joining, held while this lives.
class FileLock {
 public:
  // Nothing where another process holds it. Throws Error.
  static std::optional<FileLock> try_take(const std::filesystem::path& file);

 private:
  explicit FileLock(os::UniqueFd file) : file_(std::move(file)) {}
  os::UniqueFd file_;
};

// Does a joined host's work until a signal of `signals` comes, or the server has deleted the fleet: the SSH server, the
// way in, the fleet at the server, the programs in place. `undo_when_deleted` is what follows from that; false there
// means that somebody else is at it. Returns an exit status. Throws Error.
int work(const Places& places, const State& state, const server_api::Account& account, const os::UniqueFd& signals,
         const std::function<bool()>& undo_when_deleted, const std::function<void()>& ready);

}  // namespace dstack::runner::join
