#pragma once

#include <filesystem>
#include <string>

#include "runner/job/job_user.h"
#include "runner/job/submission.h"

namespace dstack::runner::job {

// The MPI hostfile's text: "IP slots=N" a line, just the IP for a node without a GPU (MPI then counts its cores);
// empty while an IP is missing. Throws Error when there are not as many GPU counts as nodes.
std::string mpi_hostfile_text(const ClusterInfo& cluster);

// Writes it (0644), with the folder it is in.
void write_mpi_hostfile(const ClusterInfo& cluster, const std::filesystem::path& path);

// Lets the job reach the other nodes over SSH: the private key as ~/.ssh/dstack_job, a Host block for each node in
// ~/.ssh/config, the public key among `authorized_keys`. Nothing happens with fewer than two nodes or without a key.
// Throws Error.
void set_up_cluster_ssh(const Submission& submission, const JobUser& user, int ssh_port,
                        const std::filesystem::path& authorized_keys);

}  // namespace dstack::runner::job
