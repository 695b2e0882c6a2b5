#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <format>

#include "common/os/command.h"
#include "common/os/file.h"
#include "runner/ssh/announcement.h"
#include "runner/ssh/listener.h"
#include "runner/ssh/programs.h"
#include "runner/ssh/server.h"
#include "runner/ssh/server_config.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::ssh {

namespace {

using Catch::Matchers::ContainsSubstring;

bool is_readable(int fd) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, 0) > 0;
}

void await_readable(int fd) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  ::poll(&event, 1, -1);
}

// A program in sshd's place, for what sshd itself does only as /dstack/ssh/bin/sshd.
ServerPlaces places_with_sshd(const std::filesystem::path& folder, const std::string& script) {
  const ServerPlaces places{.folder = folder};
  os::make_directories(places.programs(), 0755);
  os::make_directories(places.log().parent_path(), 0755);
  os::replace_file(places.sshd(), "#!/bin/sh\n" + script + "\n", 0755);
  return places;
}

}  // namespace

TEST_CASE("The programs of the SSH server are unpacked under each of their names") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path bin = folder / "bin";
  unpack_programs(bin);
  for (const char* name : {"sshd", "sshd-session", "sshd-auth"}) {
    const auto version = os::run_command({.arguments = {bin / name, "-V"}});
    CHECK_THAT(version.errors, ContainsSubstring("OpenSSH"));
  }
  const auto key =
      os::run_command({.arguments = {bin / "ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", folder / "key"}});
  CHECK(key.succeeded());
  CHECK_THAT(os::read_file(folder / "key"), ContainsSubstring("OPENSSH PRIVATE KEY"));
  const auto shell = os::run_command({.arguments = {bin / "no-shell", "-c", "ls"}});
  CHECK(shell.exit_status == 127);
  CHECK_THAT(shell.errors, ContainsSubstring("no shell"));
}

TEST_CASE("The SSH server's configuration has the port, our files, and no password") {
  const std::string text = server_config({.folder = "/place"}, 2222, "VERBOSE");
  for (const char* line :
       {"Port 2222\n", "HostKey /place/conf/ssh_host_ecdsa_key\n", "HostKey /place/conf/ssh_host_ed25519_key\n",
        "AuthorizedKeysFile /place/conf/authorized_keys .ssh/authorized_keys\n", "PasswordAuthentication no\n",
        "LogLevel VERBOSE\n", "ClientAliveInterval 30\n", "ClientAliveCountMax 4\n", "StreamLocalBindUnlink yes\n",
        "AcceptEnv LANG LC_* COLORTERM NO_COLOR\n", "PerSourcePenalties no\n"}) {
    CHECK_THAT(text, ContainsSubstring(line));
  }
}

TEST_CASE("A host's SSH server lets root in alone, by keys of the named files alone, and is strict about them") {
  const std::string text =
      host_server_config({.folder = "/join/sshd"}, 10023, "ERROR",
                         {.address = "127.0.0.1", .authorized_keys = {"/a b/key.pub", "/root/keys"}});
  for (const char* line : {"Port 10023\n", "ListenAddress 127.0.0.1\n", "AllowUsers root\n", "StrictModes yes\n",
                           "AuthenticationMethods publickey\n", "PasswordAuthentication no\n",
                           "AuthorizedKeysFile \"/a b/key.pub\" \"/root/keys\"\n", "Subsystem sftp internal-sftp\n"}) {
    CHECK_THAT(text, ContainsSubstring(line));
  }
  CHECK_THAT(host_server_config({}, 22, "ERROR", {}), !ContainsSubstring("ListenAddress"));
}

TEST_CASE("A log level that sshd does not know does not keep it from starting") {
  CHECK(checked_log_level("verbose") == "VERBOSE");
  CHECK(checked_log_level("DEBUG3") == "DEBUG3");
  CHECK(checked_log_level("INFO\nPasswordAuthentication yes") == "INFO");
  CHECK(checked_log_level("") == "INFO");
}

TEST_CASE("A server that has begun to listen is heard of once it says so") {
  const Announcement announcement;
  CHECK_FALSE(is_readable(announcement.fd()));
  const std::string name = announcement.variable().substr(std::string("NOTIFY_SOCKET=@").size());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(name, address.sun_path + 1);
  const os::UniqueFd sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  REQUIRE(::sendto(sender.get(), "READY=1", 7, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 7);
  CHECK(is_readable(announcement.fd()));
}

TEST_CASE("A listener that ends tells its status and its last words") {
  const test::TemporaryDirectory folder;
  const ServerPlaces places = places_with_sshd(folder / "ssh", "echo first; echo 'the reason' >&2; exit 3");
  Listener listener(places, "NOTIFY_SOCKET=@none", os::system_clock());
  await_readable(listener.ended_fd());
  CHECK(listener.describe_end() == "exited with status 3; the last line of its log: \"the reason\"");
}

TEST_CASE("A listener is told its configuration and ended with its owner") {
  const test::TemporaryDirectory folder;
  const ServerPlaces places =
      places_with_sshd(folder / "ssh", "echo \"$@\" $NOTIFY_SOCKET; mkfifo $0.go; echo >$0.go; exec sleep 1000");
  pid_t pid = 0;
  {
    Listener listener(places, "NOTIFY_SOCKET=@name", os::system_clock());
    pid = listener.pid();
    while (!std::filesystem::exists(places.sshd().string() + ".go")) sched_yield();
    os::read_file(places.sshd().string() + ".go");
  }
  CHECK(::kill(pid, 0) != 0);
  CHECK(os::read_file(places.log()) ==
        std::format("-D -f {} -E {} @name\n", places.config().string(), places.log().string()));
}

TEST_CASE("A server that cannot listen is a problem with a reason, and no failure") {
  const test::TemporaryDirectory folder;
  Server server({.port = 0,  // none that sshd accepts

                 .log_level = "INFO",
                 .places = {.folder = folder / "ssh"},
                 .forwarded_sockets = folder / "run"});
  CHECK_FALSE(server.wait_ready());
  REQUIRE(server.problem());
  CHECK_THAT(*server.problem(), ContainsSubstring("exited with status 255; the last line of its log"));
  struct stat status{};
  REQUIRE(::stat((folder / "ssh/conf/ssh_host_ed25519_key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(std::filesystem::is_directory(folder / "run"));
}

TEST_CASE("A folder that cannot be written is a problem with its name") {
  const test::TemporaryDirectory folder;
  os::replace_file(folder / "file", "", 0644);
  Server server(
      {.port = 1, .log_level = "INFO", .places = {.folder = folder / "file"}, .forwarded_sockets = folder / "run"});
  CHECK_FALSE(server.wait_ready());
  CHECK_THAT(server.problem().value_or(""), ContainsSubstring((folder / "file").string()));
}

}  // namespace dstack::runner::ssh
