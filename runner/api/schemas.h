#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "runner/job/executor.h"
#include "runner/job/submission.h"
#include "runner/metrics/collector.h"

namespace dstack::runner::api {

// The body of /api/submit; throws Error (invalid) that names the field at fault.
job::Submission parse_submission(std::string_view body);

nlohmann::json to_json(const job::JobInfo& info);
nlohmann::json to_json(const metrics::Metrics& metrics);

}  // namespace dstack::runner::api
