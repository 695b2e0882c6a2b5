#include "shim/ci/github/job_folder.h"

#include <format>
#include <nlohmann/json.hpp>
#include <random>

#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "shim/ci/containers.h"

namespace dstack::shim::ci::github {

using nlohmann::json;

namespace {

constexpr const char* kRecordFile = "hook-job.json";

std::filesystem::path canonical_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  const auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(folder), failure);
  return failure ? std::filesystem::absolute(folder).lexically_normal() : path;
}

}  // namespace

JobFolder::JobFolder(const std::filesystem::path& state)
    : path_(canonical_folder(state)), names_("github-hook", path_.string()) {}

std::string JobFolder::new_job() const {
  std::random_device random;
  return std::format("{}{:08x}{:08x}", names_.task_prefix(), random(), random());
}

std::optional<JobRecord> JobFolder::read() const {
  const auto text = os::try_read_file(path_ / kRecordFile);
  if (!text) return std::nullopt;
  const json object = dstack::json::parse_object(*text);
  const dstack::json::ObjectReader reader(object);
  JobRecord record{.job = reader.string("job"),
                   .has_container = reader.boolean("has_container"),
                   .image = reader.string("image"),
                   .user = reader.string("user"),
                   .path = reader.string("path"),
                   .home = reader.string("home"),
                   .memory = static_cast<std::uint64_t>(reader.integer("memory", 0, 0)),
                   .asked_gpus = reader.integer("asked_gpus"),
                   .work_folder = reader.string("work_folder"),
                   .uid = std::nullopt,
                   .gid = std::nullopt};
  if (reader.has("uid")) record.uid = static_cast<os::UserId>(reader.integer("uid", 0, 0, os::kLargestUserId));
  if (reader.has("gid")) record.gid = static_cast<os::UserId>(reader.integer("gid", 0, 0, os::kLargestUserId));
  return record;
}

void JobFolder::write(const JobRecord& record) const {
  os::make_directories(path_, 0700);
  const json object = {{"job", record.job},
                       {"has_container", record.has_container},
                       {"image", record.image},
                       {"user", record.user},
                       {"path", record.path},
                       {"home", record.home},
                       {"memory", record.memory},
                       {"asked_gpus", record.asked_gpus},
                       {"work_folder", record.work_folder},
                       {"uid", record.uid ? json(*record.uid) : json()},
                       {"gid", record.gid ? json(*record.gid) : json()}};
  os::replace_file(path_ / kRecordFile, dstack::json::dump(object) + "\n", 0600);
}

void JobFolder::forget() const { os::remove_file(path_ / kRecordFile); }

void remove_job_containers(const std::filesystem::path& state, int shim_port) {
  const JobFolder folder(state);
  client::ShimApi shim(shim_port);
  Containers(shim, folder.names(), {}).remove_all();
}

}  // namespace dstack::shim::ci::github
