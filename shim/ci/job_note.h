#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "shim/ci/ci.h"

namespace dstack::shim::ci {

// What a driver lets the launcher know of a job, in their state folder: the agent does not say it.

std::filesystem::path job_note_file(const std::filesystem::path& state, const std::string& job);
// Makes the folder if it is missing. Throws Error.
void write_job_note(const std::filesystem::path& state, const CiJob& job);
// Nothing before the driver has written it.
std::optional<CiJob> read_job_note(const std::filesystem::path& state, const std::string& job);

// The ids of all jobs that have a note.
std::vector<std::string> noted_jobs(const std::filesystem::path& state);

}  // namespace dstack::shim::ci
