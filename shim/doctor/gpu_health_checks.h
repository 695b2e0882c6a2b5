#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// What the running shim knows of its GPUs: those it has set aside, those that are slowed down by heat, and processes of
// no container that hold memory of one.
Finding check_sick_gpus(const Host& host);
Finding check_gpu_heat(const Host& host);
Finding check_gpu_memory(const Host& host);

}  // namespace dstack::shim::doctor
