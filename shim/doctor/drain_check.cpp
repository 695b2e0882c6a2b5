#include "shim/doctor/drain_check.h"

#include <format>

#include "common/error.h"

namespace dstack::shim::doctor {

Finding check_drain(const Host& host) {
  if (!host.drained) return ok("no: new tasks are taken");
  return warning(
      std::format("yes: no new tasks are taken{}", host.drained->empty() ? "" : ": " + printable(*host.drained)),
      "when the maintenance is over: `dstack-shim undrain`");
}

}  // namespace dstack::shim::doctor
