#include "shim/host/peer_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <format>
#include <fstream>
#include <tuple>

#include "common/error.h"
#include "common/os/capabilities.h"
#include "common/os/unique_fd.h"
#include "shim/host/peer_look_up.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::host;
namespace fs = std::filesystem;

namespace {

const std::string one(64, '1');
const std::string two(64, '2');
const os::TcpEnd server{.address = "127.0.0.1", .port = 10998};
const os::TcpEnd client{.address = "127.0.0.1", .port = 40000};
const os::TcpEnd elsewhere{.address = "172.31.255.2", .port = 40000};

// A system whose processes and sockets are what a test says.
struct Host {
  test::TemporaryDirectory folder;
  std::vector<TaskContainer> containers{{.id = one, .host_network = true}};
  PeerSystem::Found found = os::TcpSocket{.inode = 7};
  PeerSystem::Found tried = os::TcpSocket{.inode = 8};
  int look_ups = 0;

  Host() { sees(true); }

  // Whether it is the whole host's process table.
  void sees(bool all) {
    fs::create_directories(proc() / "self/ns");
    fs::remove(proc() / "self/ns/pid");
    fs::create_symlink(all ? "pid:[4026531836]" : "pid:[4026532000]", proc() / "self/ns/pid");
  }
  fs::path proc() const { return folder / "proc"; }
  fs::path process(int pid, const std::string& cgroups, int socket = 0) const {
    const fs::path path = proc() / std::to_string(pid);
    fs::create_directories(path / "fd");
    fs::create_directories(path / "net");
    fs::create_directories(path / "ns");
    fs::create_symlink(std::format("net:[{}]", pid), path / "ns/net");
    std::ofstream(path / "cgroup") << cgroups;
    fs::create_symlink("/dev/null", path / "fd/0");
    if (socket != 0) fs::create_symlink(std::format("socket:[{}]", socket), path / "fd/3");
    return path;
  }
  PeerGuard guard() {
    return PeerGuard([this] { return containers; }, {.find_socket =
                                                         [this](const os::TcpEnd&, const os::TcpEnd&) {
                                                           ++look_ups;
                                                           return found;
                                                         },
                                                     .try_look_up = [this] { return tried; },
                                                     .cgroups = std::nullopt,
                                                     .proc = proc()});
  }
  bool may_call(const os::TcpEnd& peer = client) { return guard().may_call(server, peer); }
};

PeerSystem::Found failed(std::errc code) { return std::unexpected(std::make_error_code(code)); }

std::string in(const std::string& container, const std::string& below = "") {
  return std::format("4:memory:/docker/{0}{1}\n0::/\n", container, below);
}

}  // namespace

TEST_CASE("without a task's container nobody is looked up") {
  Host host;
  host.containers.clear();
  host.found = failed(std::errc::no_such_file_or_directory);
  CHECK(host.may_call());
  CHECK(host.look_ups == 0);
}

TEST_CASE("on a host without cgroup2 the socket's process decides") {
  if (!os::has_capability(os::Capability::sys_ptrace)) SKIP("root's view of processes is needed");
  Host host;
  host.process(10, "4:memory:/system.slice/ssh.service\n", 7);
  host.process(11, in(one), 9);
  CHECK(host.may_call());
  host.found = os::TcpSocket{.inode = 9};
  CHECK_FALSE(host.may_call());
}

TEST_CASE("a process in a cgroup below the container's is in the container") {
  for (const bool sees_all : {true, false}) {
    Host host;
    host.sees(sees_all);
    host.process(11, in(one, "/nested/deeper"), 7);
    CHECK_FALSE(host.may_call());
  }
}

TEST_CASE("a container that is no task's may call") {
  Host host;
  host.process(11, in(one));
  host.process(12, in(two), 7);
  CHECK(host.may_call());
}

TEST_CASE("a socket that no process outside the containers has open is refused") {
  if (!os::has_capability(os::Capability::sys_ptrace)) SKIP("root's view of processes is needed");
  Host host;
  host.process(10, "0::/\n", 8);
  CHECK_FALSE(host.may_call());
}

TEST_CASE("where processes are hidden, only a socket found inside a container is refused") {
  Host host;
  host.sees(false);
  host.process(10, "0::/\n", 8);
  host.process(11, in(one), 9);
  CHECK(host.may_call());
  host.found = os::TcpSocket{.inode = 9};
  CHECK_FALSE(host.may_call());
}

TEST_CASE("a socket that nobody owns any more is refused while a host-network task runs, and only then") {
  for (const PeerSystem::Found& gone :
       {PeerSystem::Found(os::TcpSocket{.inode = 0}), failed(std::errc::no_such_file_or_directory)}) {
    Host host;
    host.found = gone;
    CHECK_FALSE(host.may_call());
    host.containers = {{.id = one, .host_network = false}};
    CHECK(host.may_call());
  }
}

TEST_CASE("where the kernel cannot tell sockets, everybody may call") {
  for (const std::errc reason : {std::errc::operation_not_permitted, std::errc::permission_denied,
                                 std::errc::protocol_not_supported, std::errc::function_not_supported}) {
    Host host;
    host.found = failed(reason);
    CHECK(host.may_call());
  }
  // What a kernel without tcp_diag says of every socket.
  Host host;
  host.found = host.tried = failed(std::errc::no_such_file_or_directory);
  CHECK(host.may_call());
}

TEST_CASE("a shortage that a job could bring about is no reason to serve") {
  Host host;
  host.found = failed(std::errc::too_many_files_open);
  CHECK_THROWS_AS(host.may_call(), Error);
  host.found = failed(std::errc::no_such_file_or_directory);
  host.tried = failed(std::errc::address_in_use);
  CHECK_THROWS_AS(host.may_call(), Error);
}

TEST_CASE("a caller from another network namespace is refused if it is a task's container's own end") {
  Host host;
  host.containers = {{.id = one, .host_network = false}};
  host.found = failed(std::errc::no_such_file_or_directory);
  const auto table = [&host](int pid, const std::string& name, const std::string& address) {
    std::ofstream(host.proc() / std::to_string(pid) / "net" / name)
        << "  sl  local_address rem_address   st\n   0: " << address
        << ":9C40 010011AC:2AF6 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 "
           "30 10 -1\n";
  };
  host.process(11, in(one));
  host.process(12, in(two));
  table(12, "tcp", "02FF1FAC");
  CHECK(host.may_call(elsewhere));
  table(11, "tcp", "03FF1FAC");
  CHECK(host.may_call(elsewhere));
  SECTION("by IPv4") { table(11, "tcp", "02FF1FAC"); }
  SECTION("by a socket of IPv6") { table(11, "tcp6", "0000000000000000FFFF000002FF1FAC"); }
  CHECK_FALSE(host.may_call(elsewhere));
  // The address is given back and another container's now.
  host.containers = {{.id = two, .host_network = false}};
  fs::remove(host.proc() / "12/net/tcp");
  CHECK(host.may_call(elsewhere));
}

TEST_CASE("a container is found by its id in every engine's name of its cgroup") {
  const ContainerIds ids{one, two};
  CHECK(container_in("/docker/" + one, ids) == one);
  CHECK(container_in("/system.slice/docker-" + two + ".scope/init.scope", ids) == two);
  CHECK(container_in("/machine.slice/libpod-" + one + ".scope/container", ids) == one);
  CHECK_FALSE(container_in("/docker/" + std::string(64, '3'), ids));
  CHECK_FALSE(container_in("/", ids));
}

namespace {

// A listener on the loopback interface, and one connection to it.
class LoopbackConnection {
 public:
  LoopbackConnection() {
    listener_ = os::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    address_.sin_port = htons(static_cast<std::uint16_t>(end(listener_.get(), ::getsockname).port));
  }

  // Invalid if it fails, since it is called where nothing can be required.
  os::UniqueFd connect() const {
    os::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0) socket.reset();
    return socket;
  }
  // The accepting end and the other one.
  std::pair<os::TcpEnd, os::TcpEnd> accept() {
    accepted_ = os::UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(accepted_);
    return {end(accepted_.get(), ::getsockname), end(accepted_.get(), ::getpeername)};
  }

 private:
  static os::TcpEnd end(int socket, int (*ask)(int, sockaddr*, socklen_t*)) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(ask(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return {.address = "127.0.0.1", .port = ntohs(address.sin_port)};
  }

  sockaddr_in address_{};
  os::UniqueFd listener_;
  os::UniqueFd accepted_;
};

// A child in a cgroup of its own that has connected to the test.
class CallerInCgroup {
 public:
  explicit CallerInCgroup(const std::string& nested) {
    if (!hierarchy_) SKIP("no cgroup2 hierarchy is mounted");
    if (try_peer_look_up().means != PeerLookUp::Means::cgroups) SKIP("a socket's cgroup cannot be found out here");
    std::error_code failure;
    fs::create_directories(cgroup() / nested, failure);
    if (failure) SKIP("no cgroup can be made: " << failure.message());
    nested_ = nested;
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) call();
    std::tie(own_, peer_) = connection_.accept();
  }
  ~CallerInCgroup() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (!nested_.empty()) ::rmdir((cgroup() / nested_).c_str());
    ::rmdir(cgroup().c_str());
  }

  bool may_call(const std::string& task) const {
    PeerGuard guard([&task] { return std::vector<TaskContainer>{{.id = task, .host_network = true}}; });
    return guard.may_call(own_, peer_);
  }
  const std::string id = std::format("{:064x}", ::getpid());

 private:
  fs::path cgroup() const { return hierarchy_->mount() / ("dstack-unit-" + id + ".scope"); }
  [[noreturn]] void call() const {
    std::ofstream(cgroup() / nested_ / "cgroup.procs") << ::getpid() << std::flush;
    const os::UniqueFd socket = connection_.connect();
    if (socket) ::pause();
    ::_exit(1);
  }
  const std::optional<os::Cgroup2> hierarchy_ = os::Cgroup2::find();
  std::string nested_;
  LoopbackConnection connection_;
  os::TcpEnd own_, peer_;
  pid_t child_ = 0;
};

}  // namespace

TEST_CASE("a caller in the cgroup of a task's container is refused, by the kernel's own word") {
  const CallerInCgroup caller("");
  CHECK_FALSE(caller.may_call(caller.id));
  CHECK(caller.may_call(two));
}

TEST_CASE("a caller in a nested cgroup is refused, by the kernel's own word") {
  const CallerInCgroup caller("nested");
  CHECK_FALSE(caller.may_call(caller.id));
  CHECK(caller.may_call(two));
}

TEST_CASE("a socket that is under way between two processes is nobody's, until it arrives") {
  if (!os::has_capability(os::Capability::sys_ptrace)) SKIP("root's view of processes is needed");
  // A host on which this process is the only one.
  const Host host;
  fs::create_directory_symlink(std::format("/proc/{}", ::getpid()), host.proc() / std::to_string(::getpid()));
  LoopbackConnection made;
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const os::UniqueFd from(pair[0]), to(pair[1]);
  PeerGuard guard([] { return std::vector<TaskContainer>{{.id = one, .host_network = true}}; },
                  {.cgroups = std::nullopt, .proc = host.proc()});
  os::UniqueFd held = made.connect();
  const auto [own, peer] = made.accept();
  CHECK(guard.may_call(own, peer));

  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 'x';
  iovec data{.iov_base = &byte, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = held.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  REQUIRE(::sendmsg(from.get(), &message, 0) == 1);
  held.reset();
  CHECK_FALSE(guard.may_call(own, peer));

  REQUIRE(::recvmsg(to.get(), &message, MSG_CMSG_CLOEXEC) == 1);
  int arrived = -1;
  header = CMSG_FIRSTHDR(&message);
  REQUIRE(header != nullptr);
  if (header != nullptr) std::memcpy(&arrived, CMSG_DATA(header), sizeof arrived);
  held.reset(arrived);
  CHECK(guard.may_call(own, peer));
}

TEST_CASE("doctor is told by what means callers are looked up") {
  const PeerLookUp means = try_peer_look_up();
  CHECK(means.active());
  CHECK_FALSE(means.explanation.empty());
}
