#include "shim/client/run_requests.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace dstack::shim::client {

namespace {

nlohmann::json user(const std::string& text) {
  RunOptions options;
  options.user = text;
  return job_of(options, "id", "name")["job_spec"]["user"];
}

}  // namespace

TEST_CASE("a task is a person's, in a network of its own, with what was asked for") {
  RunOptions options;
  options.image = "app:1";
  options.gpus = "all";
  options.command = {"true"};
  options.volumes = {"/host:/in", "/a:/b:rw", "/secret:/run/secret:ro"};
  options.ports = {"8080:80", "53/udp"};
  const nlohmann::json task = task_of(options, "id", "name");
  CHECK(task["local"] == true);
  CHECK(task["network_mode"] == "bridge");
  CHECK(task["gpu"] == -1);
  CHECK(task["instance_mounts"] ==
        nlohmann::json::parse(R"([{"instance_path": "/host", "path": "/in"}, {"instance_path": "/a", "path": "/b"}])"));
  CHECK(task["container"] == nlohmann::json::parse(R"({
      "mounts": [{"source": "/secret", "target": "/run/secret", "read_only": true}],
      "ports": [{"container": 80, "host": 8080, "protocol": "tcp"}, {"container": 53, "host": 0, "protocol": "udp"}]})"));
  options.gpus = "2";
  CHECK(task_of(options, "id", "name")["gpu"] == 2);
}

TEST_CASE("a plain run asks for the image's own program and replaces parts of it") {
  RunOptions options;
  CHECK(task_of(options, "id", "name")["container"] ==
        nlohmann::json::parse(R"({"process": "image", "env": {}, "entrypoint": [], "command": [],
                                  "stdin": false, "tty": false})"));
  CHECK_FALSE(task_of(options, "id", "name").contains("container_user"));
  options.command = {"-c", "exit 3"};
  options.entrypoint = "sh";
  options.user = "1:1";
  options.working_dir = "/w";
  options.environment = {"A=b"};
  options.input = options.terminal = true;
  const nlohmann::json task = task_of(options, "id", "name", true);
  CHECK(task["container_user"] == "1:1");
  CHECK(task["container"] ==
        nlohmann::json::parse(R"({"process": "image", "env": {"A": "b"}, "entrypoint": ["sh"], "start": "later",
                                  "command": ["-c", "exit 3"], "working_dir": "/w", "stdin": true, "tty": true})"));
  // An empty entry point takes the image's away.
  options.entrypoint = "";
  options.command = {"echo", "hello"};
  CHECK(task_of(options, "id", "name")["container"]["entrypoint"] == nlohmann::json{"echo"});
  CHECK(task_of(options, "id", "name")["container"]["command"] == nlohmann::json{"hello"});
  options.command = {};
  CHECK_THROWS_AS(task_of(options, "id", "name"), Error);
}

TEST_CASE("a user that is not an id, or text that is not UTF-8, is refused and not sent") {
  for (const char* text : {"4294967295", "99999999999999999999999", "0:99999999999999999999999"}) {
    CHECK_THROWS_AS(user(text), Error);
  }
  CHECK(user("4294967294:0") == nlohmann::json{{"uid", 4294967294}, {"gid", 0}});
  RunOptions options;
  options.command = {"echo", "\xff"};
  CHECK_THROWS_AS(job_of(options, "id", "name"), Error);
  options.command = {"echo", "ä"};
  CHECK(job_of(options, "id", "name")["job_spec"]["commands"][1] == "ä");
  options.environment = {"A=\xc3"};
  try {
    job_of(options, "id", "name");
    FAIL("sent");
  } catch (const Error& error) {
    // A value may be a secret.
    CHECK(std::string(error.what()) == "--env A: its value is not valid UTF-8");
  }
  options.image = "\xff";
  CHECK_THROWS_AS(task_of(options, "id", "name"), Error);
}

TEST_CASE("only a detached task goes by itself, and only a detached job has no reader") {
  for (const bool detach : {false, true}) {
    for (const bool remove : {false, true}) {
      RunOptions options;
      options.detach = detach;
      options.remove = remove;
      CHECK(task_of(options, "id", "name")["remove_when_ended"] == (detach && remove));
      CHECK(job_of(options, "id", "name")["unattended"] == detach);
    }
  }
}

TEST_CASE("a user is a name or a number, and so is a group") {
  CHECK(user("").is_null());
  CHECK(user("1000") == nlohmann::json{{"uid", 1000}});
  CHECK(user("nobody") == nlohmann::json{{"username", "nobody"}});
  CHECK(user("1000:100") == nlohmann::json{{"uid", 1000}, {"gid", 100}});
  CHECK(user("nobody:video") == nlohmann::json{{"username", "nobody"}, {"groupname", "video"}});
}

TEST_CASE("a variable's value may be empty or hold anything") {
  RunOptions options;
  options.environment = {"A=b=c d", "E="};
  options.command = {"sh", "-c", "exit"};
  const nlohmann::json job = job_of(options, "id", "name")["job_spec"];
  CHECK(job["env"] == nlohmann::json{{"A", "b=c d"}, {"E", ""}});
  CHECK(job["commands"] == nlohmann::json{"sh", "-c", "exit"});
}

}  // namespace dstack::shim::client
