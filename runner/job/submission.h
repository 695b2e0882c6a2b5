#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"

namespace dstack::runner::job {

// Who the job runs as, in the server's words; all absent fields are looked up. Ids may be out of range here.
struct UserRequest {
  std::optional<std::int64_t> uid;
  std::optional<std::string> username;
  std::optional<std::int64_t> gid;
  std::optional<std::string> groupname;
};

struct RepoData {
  std::string type;  // "remote", "local", "virtual"
  std::string branch;
  std::string hash;
  std::string config_name;
  std::string config_email;
};

struct RepoCredentials {
  std::string clone_url;
  std::optional<Secret> private_key;
  std::optional<Secret> oauth_token;
};

struct FileArchive {
  std::string id;
  std::string path;
};

struct SshKey {
  Secret private_key;
  std::string public_key;
};

struct ClusterInfo {
  std::vector<std::string> job_ips;
  std::string master_job_ip;
  std::int64_t gpus_per_job = 0;
  std::vector<std::int64_t> gpus_per_node;  // empty from servers that do not know it
};

// What /api/submit carries: everything the runner is told about its one job.
struct Submission {
  std::string run_id;
  std::string run_name;
  std::string repo_id;
  std::string job_id;
  std::int64_t job_num = 0;
  std::int64_t jobs_per_replica = 0;
  std::optional<UserRequest> user;
  std::vector<std::string> commands;
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> secrets;
  bool single_branch = false;
  std::int64_t max_duration = 0;  // seconds; 0 or less: none
  std::optional<SshKey> ssh_key;
  std::optional<std::string> working_dir;
  std::optional<std::string> repo_dir;
  RepoData repo_data;
  std::string repo_exists_action;
  std::optional<RepoCredentials> repo_credentials;
  std::vector<FileArchive> file_archives;
  ClusterInfo cluster;
  std::int64_t log_quota_hour = 0;  // bytes; 0 or less: none
  bool exit_with_job = false;       // the runner exits with the job's exit status, 128 + n for a signal
  bool unattended = false;          // nobody will ask for its logs: the runner need not wait for that
};

}  // namespace dstack::runner::job
