#include "shim/ci/lost_answer.h"

#include "common/error.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci {

Registration add_until_answered(os::Clock& clock, const Patience& patience, const std::function<Registration()>& add,
                                const std::function<void(const Patience&)>& remove) {
  const os::SteadyTime end = clock.now() + patience.network;
  GrowingPause growing;
  while (true) {
    try {
      return add();
    } catch (const CiFailure&) {
      throw;
    } catch (const std::exception& error) {
      const bool lost = error_kind(error) == ErrorKind::unavailable || error_kind(error) == ErrorKind::timed_out;
      const std::chrono::seconds pause = growing.next();
      if (!lost || clock.now() + pause > end) throw;
      if (!os::pause(clock, pause, patience.stop)) throw Error(ErrorKind::cancelled, error.what());
    }
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - clock.now());
    remove({.stop = patience.stop, .network = left});
  }
}

}  // namespace dstack::shim::ci
