#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"
#include "runner/api/schemas.h"

namespace dstack::runner::api {

namespace {

void check_refused(std::string_view body, const std::string& field) {
  CHECK_THROWS_MATCHES(parse_submission(body), Error,
                       Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring(field)));
}

}  // namespace

TEST_CASE("a submission's fields are read") {
  const job::Submission submission = parse_submission(R"({
    "run": {"id": "r", "run_spec": {"run_name": "n", "repo_id": "p", "repo_data": {"repo_type": "virtual"},
            "configuration": {"type": "task"}, "configuration_path": "x"}},
    "job_spec": {"replica_num": 0, "job_num": 1, "jobs_per_replica": 2,
      "user": {"uid": 1, "username": null, "gid": null, "groupname": "g"},
      "commands": ["sh", "-c", "echo"], "env": {"A": "1"}, "single_branch": true, "max_duration": 60,
      "ssh_key": {"private": "priv", "public": "pub"}, "working_dir": "/w", "repo_dir": "~/r",
      "repo_data": {"repo_type": "remote", "repo_branch": "b", "repo_hash": "h", "repo_config_name": "c", "repo_config_email": "e"},
      "repo_exists_action": "skip", "file_archives": [{"id": "a", "path": "/p"}], "unknown": 1},
    "job_submission": {"id": "j"},
    "cluster_info": {"job_ips": ["i"], "master_job_ip": "m", "gpus_per_job": 3, "gpus_per_node": [3]},
    "secrets": {"S": "s"}, "repo_credentials": {"clone_url": "u", "private_key": null, "oauth_token": "t"},
    "log_quota_hour": 1000, "unattended": true, "run_spec": {}})");
  CHECK(submission.run_id == "r");
  CHECK(submission.run_name == "n");
  CHECK(submission.repo_id == "p");
  CHECK(submission.job_id == "j");
  CHECK(submission.job_num == 1);
  CHECK(submission.jobs_per_replica == 2);
  REQUIRE(submission.user);
  CHECK(submission.user->uid == 1);
  CHECK_FALSE(submission.user->username);
  CHECK(submission.user->groupname == "g");
  CHECK(submission.commands == std::vector<std::string>{"sh", "-c", "echo"});
  CHECK(submission.env.at("A") == "1");
  CHECK(submission.secrets.at("S") == "s");
  CHECK(submission.single_branch);
  CHECK(submission.max_duration == 60);
  CHECK(submission.ssh_key->private_key.reveal() == "priv");
  CHECK(submission.working_dir == "/w");
  CHECK(submission.repo_dir == "~/r");
  CHECK(submission.repo_data.type == "remote");
  CHECK(submission.repo_data.hash == "h");
  CHECK(submission.file_archives.at(0).path == "/p");
  CHECK(submission.cluster.gpus_per_node == std::vector<std::int64_t>{3});
  CHECK(submission.repo_credentials->oauth_token->reveal() == "t");
  CHECK_FALSE(submission.repo_credentials->private_key);
  CHECK(submission.log_quota_hour == 1000);
  CHECK(submission.unattended);
}

TEST_CASE("null is absent everywhere") {
  const job::Submission submission = parse_submission(
      R"({"run": null, "job_spec": {"user": null, "commands": null, "env": null, "max_duration": null, "working_dir": null,
          "repo_data": null, "file_archives": null}, "job_submission": null, "cluster_info": null, "secrets": null,
          "repo_credentials": null, "log_quota_hour": null})");
  CHECK_FALSE(submission.user);
  CHECK_FALSE(submission.working_dir);
  CHECK(submission.max_duration == 0);
  CHECK(submission.log_quota_hour == 0);
}

TEST_CASE("the run's repo data stands in for the job's") {
  CHECK(parse_submission(R"({"run": {"run_spec": {"repo_data": {"repo_type": "local"}}}, "job_spec": {}})")
            .repo_data.type == "local");
}

TEST_CASE("user ids out of every range are accepted, other types are not") {
  const auto uid = [](const std::string& number) {
    return parse_submission(R"({"job_spec": {"user": {"uid": )" + number + "}}}").user->uid;
  };
  CHECK(uid("-1") == -1);
  CHECK(uid("4294967296") == 4294967296);
  CHECK(uid("1e30") == INT64_MAX);
  CHECK(uid("-99999999999999999999") == INT64_MIN);
  check_refused(R"({"job_spec": {"user": {"uid": "1"}}})", "job_spec.user.uid");
  check_refused(R"({"job_spec": {"user": {"gid": 1.5}}})", "job_spec.user.gid");
}

TEST_CASE("a wrong type is refused with the field's path") {
  check_refused(R"({"run": []})", "run");
  check_refused(R"({"job_spec": {"commands": "sh"}})", "job_spec.commands");
  check_refused(R"({"job_spec": {"commands": ["sh", 1]}})", "job_spec.commands[1]");
  check_refused(R"({"job_spec": {"env": {"A": 1}}})", "job_spec.env.A");
  check_refused(R"({"secrets": [1]})", "secrets");
  check_refused(R"({"cluster_info": {"gpus_per_node": [-1]}})", "cluster_info.gpus_per_node");
  check_refused(R"({"job_spec": {"jobs_per_replica": 99999999999}})", "job_spec.jobs_per_replica");
  check_refused("", "");
  check_refused("{} {}", "");
  check_refused("{\"a\": \"\xff\"}", "");
}

}  // namespace dstack::runner::api
