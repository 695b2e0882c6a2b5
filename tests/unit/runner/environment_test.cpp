#include "runner/job/environment.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "common/error.h"

namespace dstack::runner::job {

namespace {

Submission two_nodes() {
  Submission submission;
  submission.run_id = "run";
  submission.job_id = "job";
  submission.run_name = "fast-fox";
  submission.repo_id = "repo";
  submission.job_num = 1;
  submission.jobs_per_replica = 2;
  submission.cluster = {
      .job_ips = {"10.0.0.1", "10.0.0.2"}, .master_job_ip = "10.0.0.1", .gpus_per_job = 4, .gpus_per_node = {}};
  return submission;
}

const JobPlaces places{.working_dir = "/work", .repo_dir = "/work/repo", .mpi_hostfile = "/dstack/mpi/hostfile"};

}  // namespace

TEST_CASE("a job knows its run, its folders and its nodes") {
  const Environment environment = make_environment({}, two_nodes(), places);
  CHECK(environment == Environment{{"DSTACK_RUN_ID", "run"},
                                   {"DSTACK_JOB_ID", "job"},
                                   {"DSTACK_RUN_NAME", "fast-fox"},
                                   {"DSTACK_REPO_ID", "repo"},
                                   {"DSTACK_REPO_DIR", "/work/repo"},
                                   {"DSTACK_WORKING_DIR", "/work"},
                                   {"DSTACK_NODES_IPS", "10.0.0.1\n10.0.0.2"},
                                   {"DSTACK_MASTER_NODE_IP", "10.0.0.1"},
                                   {"DSTACK_NODE_RANK", "1"},
                                   {"DSTACK_NODES_NUM", "2"},
                                   {"DSTACK_GPUS_PER_NODE", "4"},
                                   {"DSTACK_GPUS_NUM", "8"},
                                   {"DSTACK_MPI_HOSTFILE", "/dstack/mpi/hostfile"}});
}

TEST_CASE("GPUs are summed up where nodes differ") {
  Submission submission = two_nodes();
  submission.cluster.gpus_per_node = {8, 1};
  CHECK(make_environment({}, submission, places).at("DSTACK_GPUS_NUM") == "9");
}

TEST_CASE("the container gives way to DSTACK_*, those to secrets, those to the job's own variables") {
  Submission submission = two_nodes();
  submission.secrets = {{"B", "secret"}, {"C", "secret"}};
  submission.env = {{"C", "job"}, {"DSTACK_RUN_NAME", "mine"}};
  const Environment environment =
      make_environment({{"A", "container"}, {"B", "container"}, {"DSTACK_RUN_ID", "container"}}, submission, places);
  CHECK(environment.at("A") == "container");
  CHECK(environment.at("B") == "secret");
  CHECK(environment.at("C") == "job");
  CHECK(environment.at("DSTACK_RUN_ID") == "run");
  CHECK(environment.at("DSTACK_RUN_NAME") == "mine");
}

TEST_CASE("exported shell functions are dropped") {
  Submission submission = two_nodes();
  submission.env = {{"BASH_FUNC_g()", "() { :; }"}};
  const Environment environment =
      make_environment({{"BASH_FUNC_f%%", "() { :; }"}, {"BASH_FUNC_x", "kept"}}, submission, places);
  CHECK_FALSE(environment.contains("BASH_FUNC_f%%"));
  CHECK_FALSE(environment.contains("BASH_FUNC_g()"));
  CHECK(environment.contains("BASH_FUNC_x"));
}

TEST_CASE("a NUL byte in a variable is refused") {
  Submission submission = two_nodes();
  submission.env = {{"A", std::string("a\0b", 3)}};
  CHECK_THROWS_AS(make_environment({}, submission, places), Error);
}

TEST_CASE("variables are rendered whatever their names and values are") {
  const Environment environment{{"a-b", "1"}, {"N", "two\nlines"}, {"X", "\xff"}};
  CHECK(std::ranges::is_permutation(render(environment), std::vector<std::string>{"a-b=1", "N=two\nlines", "X=\xff"}));
}

TEST_CASE("shell names are letters, digits and underscores") {
  for (const char* name : {"A", "_", "a1_B"}) CHECK(is_shell_name(name));
  for (const char* name : {"", "1a", "a-b", "a.b", "a b", "ä", "a="}) CHECK_FALSE(is_shell_name(name));
}

}  // namespace dstack::runner::job
