#include "runner/job/capabilities.h"

namespace dstack::runner::job {

bool can_change_user() {
  return has_capability(Capability::setuid) && has_capability(Capability::setgid) && can_give_away_files();
}

bool can_give_away_files() { return has_capability(Capability::chown); }

}  // namespace dstack::runner::job
