#include <format>
#include <thread>

#include "common/http/server.h"
#include "shim/doctor/port_checks.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

constexpr const char* kHeader =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

std::string line(const std::string& local, int port, const std::string& state, int inode) {
  return std::format(
      "   0: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 0\n", local, port,
      state, inode);
}

struct PortFixture : DoctorFixture {
  void tables(const std::string& tcp, const std::string& tcp6 = "") const {
    put("proc/net/tcp", kHeader + tcp);
    put("proc/net/tcp6", kHeader + tcp6);
  }
  // A process that has this socket open.
  void process(int id, const std::string& name, int inode) const {
    const std::filesystem::path folder = host.root / "proc" / std::to_string(id);
    write(folder / "comm", name + "\n");
    std::filesystem::create_directories(folder / "fd");
    std::filesystem::create_symlink("/dev/null", folder / "fd/0");
    std::filesystem::create_symlink(std::format("socket:[{}]", inode), folder / "fd/3");
  }
  std::optional<std::string> who(int port) const { return who_listens(host.root / "proc", port); }
};

}  // namespace

TEST_CASE_METHOD(PortFixture, "who listens on the loopback is found, by IPv4 and by IPv6") {
  process(41, "nginx", 1001);
  process(42, "python3", 1002);
  process(43, "node", 1003);
  tables(line("0100007F", 80, "0A", 1001) + line("00000000", 81, "0A", 1002),
         line("00000000000000000000000000000000", 82, "0A", 1003));
  CHECK(who(80) == "nginx (41)");
  CHECK(who(81) == "python3 (42)");
  CHECK(who(82) == "node (43)");
}

TEST_CASE_METHOD(PortFixture, "another address, a connection and another port take nothing") {
  process(41, "nginx", 1001);
  tables(line("0A00000A", 80, "0A", 1001) + line("0100007F", 80, "01", 1001) + line("0100007F", 8080, "0A", 1001));
  CHECK_FALSE(who(80));
}

TEST_CASE_METHOD(PortFixture, "a listener that nobody here has open is told as such") {
  tables(line("0100007F", 80, "0A", 1001));
  CHECK(who(80) == "a program of another user or container");
}

TEST_CASE_METHOD(PortFixture, "the runner's ports are free, a task's, or taken") {
  tables("");
  CHECK(check_runner_ports(host) == ok("10999 and 10022 are free"));
  process(50, "dstack-runner", 1001);
  tables(line("0100007F", 10999, "0A", 1001));
  CHECK(check_runner_ports(host).verdict == Verdict::ok);
  process(52, "sshd", 1003);
  tables(line("0100007F", 10999, "0A", 1001) + line("00000000", 10022, "0A", 1003));
  CHECK(check_runner_ports(host).verdict == Verdict::ok);
  tables(line("00000000", 10022, "0A", 1003));
  CHECK(check_runner_ports(host).verdict == Verdict::warning);
  process(51, "nginx", 1002);
  tables(line("0100007F", 10999, "0A", 1001) + line("00000000", 10022, "0A", 1002));
  const Finding finding = check_runner_ports(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found == "taken: 10022 by nginx (51)");
}

TEST_CASE_METHOD(PortFixture, "a dstack-shim that does not answer is to be started again") {
  // Nobody listens in truth, so nobody answers.
  host.shim_port = 1;
  tables(line("0100007F", 1, "0A", 1001));
  process(41, "dstack-shim", 1001);
  const Finding finding = check_shim_port(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found == "1 is used by dstack-shim (41), which does not answer");
  CHECK(finding.remedy.contains("systemctl restart dstack-shim"));
}

TEST_CASE_METHOD(PortFixture, "the shim's port is free if nobody listens") {
  tables("");
  CHECK(check_shim_port(host) == ok("10998 is free: no dstack-shim runs on it"));
}

TEST_CASE_METHOD(PortFixture, "a dstack-shim on the port is what should be there, another server is not") {
  http::Server server;
  std::string service = "dstack-shim";
  server.get("/api/healthcheck", [&service](const http::Request&) {
    return http::Response::text(200, std::format(R"({{"service":"{}","version":"0.22.5"}})", service));
  });
  host.shim_port = server.bind("127.0.0.1", 0);
  host.root = "/";
  std::thread serving([&server] { server.run(); });
  const Finding running = check_shim_port(host);
  service = "another";
  const Finding taken = check_shim_port(host);
  server.stop();
  serving.join();
  CHECK(running.verdict == Verdict::ok);
  CHECK(running.found.ends_with("is used by a running dstack-shim, version 0.22.5"));
  CHECK(taken.verdict == Verdict::broken);
  // The program that runs these tests, cut as the kernel cuts it.
  CHECK(taken.found.contains("unit_shim_docto"));
}

}  // namespace dstack::shim::doctor
