#pragma once

#include <string>

#include "shim/doctor/examination.h"

namespace dstack::shim::doctor {

// For a person: a line for each check, and beneath a finding that is not ok how to fix it.
std::string as_text(const Examination& examination, bool colours);

// For a program: {"broken": number, "warnings": number, "checks": [{"name", "verdict", "found", "remedy"}]}, where the
// remedy is null if there is nothing to fix.
std::string as_json(const Examination& examination);

}  // namespace dstack::shim::doctor
