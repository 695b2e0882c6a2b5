#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "runner/job/executor.h"
#include "runner/job/submission.h"
#include "runner/metrics/collector.h"

namespace dstack::runner::api {

// The body of /api/submit; throws Error (invalid) that names the field at fault.
job::Submission parse_submission(std::string_view body);

// The message of a stop that says that the host goes down; nothing for any other body: no stop fails for its body.
std::optional<std::string> parse_interruption(std::string_view body);

// The body of /api/notice. Throws Error (invalid).
std::string parse_notice(std::string_view body);

nlohmann::json to_json(const job::JobInfo& info);
// Of a stop that says why: how far the job was.
nlohmann::json to_json(job::Executor::Phase phase);
nlohmann::json to_json(const metrics::Metrics& metrics);

}  // namespace dstack::runner::api
