#pragma once

#include <filesystem>

#include "shim/doctor/check.h"
#include "shim/doctor/examination.h"

namespace dstack::shim::client {

// Writes what a bug report needs into a tar archive, readable by its owner only: versions, the checks, the shim's
// settings, tasks, metrics, the ends of the logs. No secrets: nothing of a job's variables and output, no keys, no
// tokens. What cannot be had is listed in "missing.txt". Throws Error if the file cannot be written.
void write_bundle(const std::filesystem::path& file, const doctor::Host& host, const doctor::Examination& examination);

}  // namespace dstack::shim::client
