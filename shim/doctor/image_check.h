#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Images that the shim of this home pulled, and those that it removed to make room.
Finding check_images(const Host& host);

}  // namespace dstack::shim::doctor
