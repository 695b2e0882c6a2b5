#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// GPUs that the running shim has set aside.
Finding check_sick_gpus(const Host& host);

}  // namespace dstack::shim::doctor
