#include "runner/api/schemas.h"

#include <cmath>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/termination_reason.h"

namespace dstack::runner::api {

namespace {

using json::ObjectReader;

constexpr std::size_t kMaxNoticeBytes = 4096;

std::optional<Secret> optional_secret(const ObjectReader& object, std::string_view name) {
  auto text = object.optional_string(name);
  if (!text) return std::nullopt;
  return Secret(*std::move(text));
}

// An id out of every range is still accepted, and fails the job with a message when it is to be used.
std::optional<std::int64_t> optional_id(const ObjectReader& object, std::string_view name) {
  if (!object.has(name)) return std::nullopt;
  const double value = object.number(name);
  if (std::fabs(value) > 9e15) return value < 0 ? INT64_MIN : INT64_MAX;
  return object.optional_integer(name);
}

// Numbers of nodes and GPUs, which are multiplied and added up later.
std::int64_t count(const ObjectReader& object, std::string_view name) { return object.integer(name, 0, 0, INT32_MAX); }

std::vector<std::int64_t> counts(const ObjectReader& object, std::string_view name) {
  std::vector<std::int64_t> values = object.integers(name);
  for (const std::int64_t value : values) {
    if (value < 0 || value > INT32_MAX) {
      throw Error(ErrorKind::invalid, std::format("{}: {} is out of range", object.path_of(name), value));
    }
  }
  return values;
}

job::RepoData parse_repo_data(const ObjectReader& object) {
  return {.type = object.string("repo_type"),
          .branch = object.string("repo_branch"),
          .hash = object.string("repo_hash"),
          .config_name = object.string("repo_config_name"),
          .config_email = object.string("repo_config_email")};
}

void parse_run(const ObjectReader& run, job::Submission& submission) {
  submission.run_id = run.string("id");
  run.object("run_spec", [&](const ObjectReader& spec) {
    submission.run_name = spec.string("run_name");
    submission.repo_id = spec.string("repo_id");
    spec.object("repo_data", [&](const ObjectReader& data) { submission.repo_data = parse_repo_data(data); });
  });
}

void parse_job_spec(const ObjectReader& spec, job::Submission& submission) {
  submission.job_num = count(spec, "job_num");
  submission.jobs_per_replica = count(spec, "jobs_per_replica");
  spec.object("user", [&](const ObjectReader& user) {
    submission.user = job::UserRequest{.uid = optional_id(user, "uid"),
                                       .username = user.optional_string("username"),
                                       .gid = optional_id(user, "gid"),
                                       .groupname = user.optional_string("groupname")};
  });
  submission.commands = spec.strings("commands");
  submission.env = spec.string_map("env");
  submission.single_branch = spec.boolean("single_branch");
  submission.max_duration = spec.integer("max_duration");
  spec.object("ssh_key", [&](const ObjectReader& key) {
    submission.ssh_key = job::SshKey{.private_key = Secret(key.string("private")), .public_key = key.string("public")};
  });
  submission.working_dir = spec.optional_string("working_dir");
  submission.repo_dir = spec.optional_string("repo_dir");
  // Servers before 0.19.17 send it with the run only.
  spec.object("repo_data", [&](const ObjectReader& data) { submission.repo_data = parse_repo_data(data); });
  submission.repo_exists_action = spec.string("repo_exists_action");
  spec.objects("file_archives", [&](const ObjectReader& archive) {
    submission.file_archives.push_back({.id = archive.string("id"), .path = archive.string("path")});
  });
}

}  // namespace

job::Submission parse_submission(std::string_view body) {
  const nlohmann::json parsed = json::parse_object(body);
  const ObjectReader object(parsed);
  job::Submission submission;
  object.object("run", [&](const ObjectReader& run) { parse_run(run, submission); });
  object.object("job_spec", [&](const ObjectReader& spec) { parse_job_spec(spec, submission); });
  object.object("job_submission", [&](const ObjectReader& job) { submission.job_id = job.string("id"); });
  object.object("cluster_info", [&](const ObjectReader& cluster) {
    submission.cluster = {.job_ips = cluster.strings("job_ips"),
                          .master_job_ip = cluster.string("master_job_ip"),
                          .gpus_per_job = count(cluster, "gpus_per_job"),
                          .gpus_per_node = counts(cluster, "gpus_per_node")};
  });
  submission.secrets = object.string_map("secrets");
  object.object("repo_credentials", [&](const ObjectReader& credentials) {
    submission.repo_credentials = job::RepoCredentials{.clone_url = credentials.string("clone_url"),
                                                       .private_key = optional_secret(credentials, "private_key"),
                                                       .oauth_token = optional_secret(credentials, "oauth_token")};
  });
  submission.log_quota_hour = object.integer("log_quota_hour");
  submission.exit_with_job = object.boolean("exit_with_job");
  submission.unattended = object.boolean("unattended");
  return submission;
}

std::optional<std::string> parse_interruption(std::string_view body) {
  if (body.empty()) return std::nullopt;
  try {
    const nlohmann::json object = json::parse_object(body);
    const ObjectReader reader(object);
    if (reader.string("termination_reason") != termination_reason::kInterruptedByNoCapacity) return std::nullopt;
    return reader.string("termination_message");
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::string parse_notice(std::string_view body) {
  const nlohmann::json object = json::parse_object(body);
  const ObjectReader reader(object);
  std::string message = reader.string("message");
  if (message.empty()) throw Error(ErrorKind::invalid, "empty message");
  if (message.size() > kMaxNoticeBytes)
    throw Error(ErrorKind::invalid, std::format("message: longer than {} bytes", kMaxNoticeBytes));
  return message;
}

nlohmann::json to_json(job::Executor::Phase phase) {
  switch (phase) {
    case job::Executor::Phase::running: return {{"job", "running"}};
    case job::Executor::Phase::over: return {{"job", "over"}};
    case job::Executor::Phase::waiting_for_job:
    case job::Executor::Phase::submitted: break;
  }
  return {{"job", "waiting"}};
}

nlohmann::json to_json(const job::JobInfo& info) {
  return {{"working_dir", info.working_dir}, {"username", info.username}};
}

nlohmann::json to_json(const metrics::Metrics& metrics) {
  auto gpus = nlohmann::json::array();
  for (const metrics::GpuMetrics& gpu : metrics.gpus) {
    gpus.push_back({{"gpu_memory_usage_bytes", gpu.memory_usage_bytes}, {"gpu_util_percent", gpu.utilization_percent}});
  }
  return {{"timestamp_micro", metrics.timestamp_micro},
          {"cpu_usage_micro", metrics.cpu_usage_micro},
          {"memory_usage_bytes", metrics.memory_usage_bytes},
          {"memory_working_set_bytes", metrics.memory_working_set_bytes},
          {"gpus", std::move(gpus)}};
}

}  // namespace dstack::runner::api
