#include "runner/job/cluster.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::job {

namespace {

Submission two_nodes() {
  Submission submission;
  submission.cluster.job_ips = {"10.0.0.1", "10.0.0.2"};
  submission.ssh_key = SshKey{.private_key = Secret("PRIVATE\n"), .public_key = "ssh-ed25519 AAAA run"};
  return submission;
}

JobUser user_at(const std::filesystem::path& home) {
  JobUser user;
  user.uid = 1234;
  user.gid = 1235;
  user.home = home;
  return user;
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((::geteuid() != 0 || status.st_uid == 1234));
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("the hostfile has a line for each node") {
  CHECK(mpi_hostfile_text({.job_ips = {"a", "b"}, .master_job_ip = "", .gpus_per_job = 0, .gpus_per_node = {8, 0}}) ==
        "a slots=8\nb\n");
  CHECK(mpi_hostfile_text({.job_ips = {"a", "b"}, .master_job_ip = "", .gpus_per_job = 2, .gpus_per_node = {}}) ==
        "a slots=2\nb slots=2\n");
}

TEST_CASE("the hostfile is empty while a node has no IP") {
  CHECK(mpi_hostfile_text({.job_ips = {"a", ""}, .master_job_ip = "", .gpus_per_job = 2, .gpus_per_node = {}}).empty());
  CHECK(
      mpi_hostfile_text({.job_ips = {""}, .master_job_ip = "", .gpus_per_job = 2, .gpus_per_node = {1, 2, 3}}).empty());
}

TEST_CASE("a GPU count for each node is required") {
  CHECK_THROWS_AS(
      mpi_hostfile_text({.job_ips = {"a", "b"}, .master_job_ip = "", .gpus_per_job = 0, .gpus_per_node = {1}}), Error);
}

TEST_CASE("nodes reach each other with the run's key") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path home = folder / "home";
  set_up_cluster_ssh(two_nodes(), user_at(home), 10022, folder / "authorized_keys");
  CHECK(os::read_file(home / ".ssh/dstack_job") == "PRIVATE\n");
  CHECK(mode_of(home / ".ssh/dstack_job") == 0600);
  CHECK(mode_of(home / ".ssh") == 0700);
  CHECK(mode_of(home / ".ssh/config") == 0600);
  const std::string config = os::read_file(home / ".ssh/config");
  for (const char* ip : {"10.0.0.1", "10.0.0.2"}) {
    CHECK(config.contains(
        "Host " + std::string(ip) +
        "\n    Port 10022\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n    IdentityFile " +
        (home / ".ssh/dstack_job").string() + "\n"));
  }
  CHECK(os::read_file(folder / "authorized_keys") == "ssh-ed25519 AAAA run\n");
}

TEST_CASE("an ssh configuration that is there is kept and added to once") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "home/.ssh");
  std::ofstream(folder / "home/.ssh/config") << "Host mine";
  for (int start = 0; start < 2; ++start) set_up_cluster_ssh(two_nodes(), user_at(folder / "home"), 1, folder / "keys");
  const std::string config = os::read_file(folder / "home/.ssh/config");
  CHECK(config.starts_with("Host mine\n\n"));
  CHECK(config.find("Host 10.0.0.1") == config.rfind("Host 10.0.0.1"));
}

TEST_CASE("one node or no key needs no ssh between nodes") {
  const test::TemporaryDirectory folder;
  Submission one = two_nodes();
  one.cluster.job_ips.pop_back();
  Submission keyless = two_nodes();
  keyless.ssh_key.reset();
  for (const Submission& submission : {one, keyless})
    set_up_cluster_ssh(submission, user_at(folder / "home"), 1, folder / "keys");
  CHECK_FALSE(std::filesystem::exists(folder / "home"));
}

}  // namespace dstack::runner::job
