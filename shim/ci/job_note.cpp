#include "shim/ci/job_note.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/text/number.h"

namespace dstack::shim::ci {

namespace {

constexpr std::string_view kNotePrefix = "job-";
constexpr std::string_view kNoteSuffix = ".json";

}  // namespace

std::filesystem::path job_note_file(const std::filesystem::path& state, const std::string& job) {
  return state / std::format("{}{}{}", kNotePrefix, job, kNoteSuffix);
}

void write_job_note(const std::filesystem::path& state, const CiJob& job) {
  if (!text::is_digits(job.id)) throw Error(ErrorKind::invalid, std::format("job {}: not a number", printable(job.id)));
  os::make_directories(state, 0700);
  const nlohmann::json note = {{"project", job.project}, {"pipeline", job.pipeline}};
  os::replace_file(job_note_file(state, job.id), json::dump(note) + "\n", 0600);
}

std::optional<CiJob> read_job_note(const std::filesystem::path& state, const std::string& job) {
  if (!text::is_digits(job)) return std::nullopt;
  const auto text = os::try_read_file(job_note_file(state, job));
  if (!text) return std::nullopt;
  const nlohmann::json note = nlohmann::json::parse(*text, nullptr, false);
  return CiJob{
      .id = job, .project = json::text_member(note, "project"), .pipeline = json::text_member(note, "pipeline")};
}

std::vector<std::string> noted_jobs(const std::filesystem::path& state) {
  std::vector<std::string> jobs;
  for (const std::string& name : os::list_directory(state).names) {
    if (!name.starts_with(kNotePrefix) || !name.ends_with(kNoteSuffix)) continue;
    const std::string id = name.substr(kNotePrefix.size(), name.size() - kNotePrefix.size() - kNoteSuffix.size());
    if (text::is_digits(id)) jobs.push_back(id);
  }
  return jobs;
}

}  // namespace dstack::shim::ci
