#include "runner/job/cluster.h"
#include "common/files/attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/job/capabilities.h"
#include "runner/job/paths.h"
#include "runner/job/ssh_folder.h"

namespace dstack::runner::job {

namespace {

constexpr std::string_view kFirstLine = "# Written by dstack-runner: the nodes of this run\n";

std::string host_blocks(const ClusterInfo& cluster, int ssh_port, const std::filesystem::path& key) {
  std::string text(kFirstLine);
  for (const std::string& ip : cluster.job_ips) {
    text += std::format(
        "Host {}\n"
        "    Port {}\n"
        "    StrictHostKeyChecking no\n"
        "    UserKnownHostsFile /dev/null\n"
        "    IdentityFile {}\n",
        ip, ssh_port, key.string());
  }
  return text;
}

// Appends to a file that is the user's; made if it is not there.
void append_for(const std::filesystem::path& path, std::string_view text, const JobUser& user) {
  const WriteAccess access(path.parent_path(), user);
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (const auto owner = owner_for(user)) files::Attributes().set_owner(file.get(), *owner, path.native());
  os::write_all(file.get(), text, path.string());
}

}  // namespace

std::string mpi_hostfile_text(const ClusterInfo& cluster) {
  std::string text;
  for (const std::string& ip : cluster.job_ips) {
    if (!ip.empty()) continue;
    spdlog::debug("The MPI hostfile stays empty: a node has no internal IP address");
    return "";
  }
  if (!cluster.gpus_per_node.empty() && cluster.gpus_per_node.size() != cluster.job_ips.size()) {
    throw Error(ErrorKind::invalid, std::format("cluster_info has {} nodes in job_ips, but {} in gpus_per_node",
                                                cluster.job_ips.size(), cluster.gpus_per_node.size()));
  }
  for (std::size_t node = 0; node < cluster.job_ips.size(); ++node) {
    const std::int64_t gpus = cluster.gpus_per_node.empty() ? cluster.gpus_per_job : cluster.gpus_per_node[node];
    text += gpus == 0 ? cluster.job_ips[node] + "\n" : std::format("{} slots={}\n", cluster.job_ips[node], gpus);
  }
  return text;
}

void write_mpi_hostfile(const ClusterInfo& cluster, const std::filesystem::path& path) {
  const std::string text = mpi_hostfile_text(cluster);
  os::make_directories(path.parent_path(), 0755);
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  os::write_all(file.get(), text, path.string());
  if (::fchmod(file.get(), 0644) != 0) throw os_error("set the mode of", path.string());
}

void set_up_cluster_ssh(const Submission& submission, const JobUser& user, int ssh_port,
                        const std::filesystem::path& authorized_keys) {
  if (!submission.ssh_key || submission.cluster.job_ips.size() < 2) return;
  const std::filesystem::path folder = prepare_ssh_folder(user);
  const std::filesystem::path key = folder / "dstack_job";
  write_file_for(key, submission.ssh_key->private_key.reveal(), user, 0600);

  const std::filesystem::path config = folder / "config";
  const std::string blocks = host_blocks(submission.cluster, ssh_port, key);
  const WriteAccess access(folder, user);
  const std::string present = os::try_read_file(config).value_or("");
  if (!present.contains(blocks)) {
    append_for(config, (present.empty() || present.ends_with('\n') ? "\n" : "\n\n") + blocks, user);
  }

  const os::UniqueFd keys = os::open_file(authorized_keys, O_WRONLY | O_CREAT | O_APPEND, 0644);
  os::write_all(keys.get(), submission.ssh_key->public_key + "\n", authorized_keys.string());
}

}  // namespace dstack::runner::job
