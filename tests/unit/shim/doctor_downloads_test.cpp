#include "shim/doctor/download_check.h"

#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

struct DownloadsFixture : DoctorFixture {
  void dockerd(const std::string& pid, const std::string& command_line) const {
    put("proc/" + pid + "/comm", "dockerd\n");
    put("proc/" + pid + "/stat", pid + " (dockerd) S 1 1 1 0 -1 0");
    put("proc/" + pid + "/cmdline", command_line);
  }
  static std::string arguments(std::initializer_list<std::string> all) {
    std::string text;
    for (const std::string& one : all) text += one + '\0';
    return text;
  }
};

}  // namespace

TEST_CASE_METHOD(DownloadsFixture, "Docker's default of three downloads at once is a warning, with what to set") {
  const Finding finding = check_downloads(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found == "3 layers at once, of all pulls together, Docker's default");
  CHECK(finding.remedy.contains(R"("max-concurrent-downloads": 50 in /etc/docker/daemon.json)"));
  put("etc/docker/daemon.json", R"({"live-restore": true})");
  CHECK(check_downloads(host) == finding);
}

TEST_CASE_METHOD(DownloadsFixture, "more downloads are read from Docker's configuration file") {
  put("etc/docker/daemon.json", R"({"max-concurrent-downloads": 20})");
  CHECK(check_downloads(host) == ok("20 layers at once, of all pulls together"));
  put("etc/docker/daemon.json", R"({"max-concurrent-downloads": 1})");
  CHECK(check_downloads(host).found == "1 layer at once, of all pulls together");
  CHECK(check_downloads(host).verdict == Verdict::warning);
  put("etc/docker/daemon.json", R"({"max-concurrent-downloads": )");
  CHECK(check_downloads(host).found == "/etc/docker/daemon.json is not JSON");
  for (const char* odd : {"[]", "5", R"({"max-concurrent-downloads": "20"})"}) {
    put("etc/docker/daemon.json", odd);
    CHECK(check_downloads(host).verdict == Verdict::warning);
  }
}

TEST_CASE_METHOD(DownloadsFixture, "the options of the running dockerd count, and the file that they name") {
  put("etc/docker/daemon.json", R"({"max-concurrent-downloads": 20})");
  dockerd("77", arguments({"/usr/bin/dockerd", "--max-concurrent-downloads", "2"}));
  CHECK(check_downloads(host).found.starts_with("2 layers"));
  dockerd("77", arguments({"/usr/bin/dockerd", "--max-concurrent-downloads=8"}));
  CHECK(check_downloads(host).found.starts_with("8 layers"));
  dockerd("77", arguments({"/usr/bin/dockerd", "--config-file=/srv/docker.json"}));
  put("srv/docker.json", R"({"max-concurrent-downloads": 3})");
  CHECK(check_downloads(host).remedy.contains("in /srv/docker.json"));
  put("srv/docker.json", R"({"max-concurrent-downloads": 6})");
  CHECK(check_downloads(host).found.starts_with("6 layers"));
}

TEST_CASE_METHOD(DownloadsFixture,
                 "of several dockerds the one with Docker's pid file is asked, and its files as it sees them") {
  dockerd("77", arguments({"dockerd", "--max-concurrent-downloads=8"}));
  dockerd("78", arguments({"dockerd"}));
  put("proc/78/root/etc/docker/daemon.json", R"({"max-concurrent-downloads": 9})");
  CHECK(check_downloads(host).found.starts_with("3 layers"));
  put("run/docker.pid", "78");
  CHECK(check_downloads(host).found.starts_with("9 layers"));
  put("run/docker.pid", "77\n");
  CHECK(check_downloads(host).found.starts_with("8 layers"));
  put("run/docker.pid", "79");
  CHECK(check_downloads(host).found.starts_with("3 layers"));
}

TEST_CASE_METHOD(DownloadsFixture, "an engine elsewhere has settings that cannot be seen") {
  host.engine = nullptr;
  CHECK(check_downloads(host).verdict == Verdict::ok);
}

}  // namespace dstack::shim::doctor
