#include "runner/job/environment.h"

#include <unistd.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <format>
#include <numeric>

#include "common/error.h"

extern char** environ;  // NOLINT: POSIX has programs declare it

namespace dstack::runner::job {

namespace {

// bash carries an exported function f as BASH_FUNC_f%%, patched old ones as BASH_FUNC_f().
bool is_exported_function(std::string_view name) {
  return name.starts_with("BASH_FUNC_") && (name.ends_with("%%") || name.ends_with("()"));
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    if (!text.empty()) text += '\n';
    text += line;
  }
  return text;
}

std::int64_t number_of_gpus(const Submission& submission) {
  const ClusterInfo& cluster = submission.cluster;
  // Servers that know only alike nodes send one number for all of them.
  if (cluster.gpus_per_node.empty()) return submission.jobs_per_replica * cluster.gpus_per_job;
  return std::accumulate(cluster.gpus_per_node.begin(), cluster.gpus_per_node.end(), std::int64_t{0});
}

}  // namespace

Environment own_environment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t end = text.find('=');
    if (end != std::string_view::npos)
      environment.insert_or_assign(std::string(text.substr(0, end)), text.substr(end + 1));
  }
  return environment;
}

Environment make_environment(Environment container, const Submission& submission, const JobPlaces& places) {
  Environment environment = std::move(container);
  const ClusterInfo& cluster = submission.cluster;
  const Environment ours = {
      {"DSTACK_RUN_ID", submission.run_id},
      {"DSTACK_JOB_ID", submission.job_id},
      {"DSTACK_RUN_NAME", submission.run_name},
      {"DSTACK_REPO_ID", submission.repo_id},
      {"DSTACK_REPO_DIR", places.repo_dir},
      {"DSTACK_WORKING_DIR", places.working_dir},
      {"DSTACK_NODES_IPS", join_lines(cluster.job_ips)},
      {"DSTACK_MASTER_NODE_IP", cluster.master_job_ip},
      {"DSTACK_NODE_RANK", std::to_string(submission.job_num)},
      {"DSTACK_NODES_NUM", std::to_string(submission.jobs_per_replica)},
      {"DSTACK_GPUS_PER_NODE", std::to_string(cluster.gpus_per_job)},
      {"DSTACK_GPUS_NUM", std::to_string(number_of_gpus(submission))},
      {"DSTACK_MPI_HOSTFILE", places.mpi_hostfile},
  };
  for (const Environment* layer : {&ours, &submission.secrets, &submission.env}) {
    for (const auto& [name, value] : *layer) environment.insert_or_assign(name, value);
  }
  std::erase_if(environment, [](const auto& variable) {
    if (!is_exported_function(variable.first)) return false;
    spdlog::info("The variable {} holds a shell function and is dropped", printable(variable.first));
    return true;
  });
  for (const auto& [name, value] : environment) {
    if (name.contains('\0') || value.contains('\0')) {
      throw Error(ErrorKind::invalid, std::format("the environment variable {} contains a NUL byte", printable(name)));
    }
  }
  return environment;
}

std::vector<std::string> render(const Environment& environment) {
  std::vector<std::string> lines;
  lines.reserve(environment.size());
  for (const auto& [name, value] : environment) lines.push_back(std::format("{}={}", name, value));
  return lines;
}

bool is_shell_name(std::string_view name) {
  const auto is_letter = [](char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || !is_letter(name[0])) return false;
  return std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace dstack::runner::job
