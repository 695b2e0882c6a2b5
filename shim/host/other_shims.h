#pragma once

#include <filesystem>

namespace dstack::shim::host {

// Whether a dstack-shim other than this process, and not one of its children, runs on this host, by the processes below
// `proc`. A name proves nothing, a job's process may have any: what counts is root's, in our own process namespace, and
// has the log of a home open.
bool another_shim_runs(const std::filesystem::path& proc);

}  // namespace dstack::shim::host
