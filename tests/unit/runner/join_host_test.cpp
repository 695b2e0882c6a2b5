#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/os/command.h"
#include "common/os/file.h"
#include "runner/join/agent.h"
#include "runner/join/identity.h"
#include "runner/join/programs.h"
#include "runner/join/settled.h"
#include "runner/join/tunnel.h"
#include "runner/join/undo.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* kOurs = "ssh-ed25519 AAAAours dstack-runner";

server_api::Settings settings_of(const std::string& url) {
  server_api::Settings settings;
  settings.server = {.value = url, .origin = "--server"};
  return settings;
}

int usage_of(const StartOptions& options, const std::string& url) {
  try {
    settle(options, settings_of(url), std::nullopt);
  } catch (const CommandError& error) {
    return error.exit_status();
  }
  return 0;
}

}  // namespace

TEST_CASE("the lines that came with joining are taken out of authorized_keys, and no other") {
  const std::string text =
      "ssh-rsa AAAAmine me@home\n"
      "ssh-rsa AAAAold server # added by dstack\n"
      "ssh-ed25519 AAAAours dstack-runner # added by dstack\n"
      "ssh-rsa AAAAnew server # added by dstack\n"
      "ssh-rsa AAAAtask x # added by dstack-shim\n"
      "no line end";
  CHECK(without_joining_lines(text, kOurs, {"ssh-rsa AAAAold server # added by dstack"}) ==
        "ssh-rsa AAAAmine me@home\n"
        "ssh-rsa AAAAold server # added by dstack\n"
        "ssh-rsa AAAAtask x # added by dstack-shim\n"
        "no line end");
  CHECK(without_joining_lines("a\n", "", {}) == "a\n");
}

TEST_CASE("our key is added to authorized_keys once, in a folder of the right mode") {
  const test::TemporaryDirectory folder;
  const Places places{.root = folder.path()};
  CHECK(authorize(places, kOurs));
  CHECK_FALSE(authorize(places, kOurs));
  CHECK(os::read_file(places.authorized_keys()) == std::string(kOurs) + "\n");
  struct stat status{};
  REQUIRE(::stat(places.authorized_keys().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  REQUIRE(::stat(places.ssh_folder().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
}

TEST_CASE("the state is kept as it was, readable by root alone") {
  const test::TemporaryDirectory folder;
  const Places places{.root = folder.path()};
  CHECK_FALSE(load_state(places));
  os::make_directories(places.folder(), 0700);
  State state{.name = "n1",
              .name_is_chosen = true,
              .way_in = WayIn::tunnel,
              .address = {"127.70.1.3", 2222},
              .relay = Relay{.server = {"relay", 2022}},
              .relay_number = 3,
              .blocks = "auto",
              .environment = {{"A", "b"}},
              .was_live = true,
              .before = {.ssh_folder = true, .marked_lines = {"x # added by dstack"}, .shim_unit = "[Unit]\n"}};
  store_state(places, state);
  const auto found = load_state(places);
  REQUIRE(found);
  CHECK_FALSE(differs(*found, state));
  CHECK(found->was_live);
  CHECK(found->before.marked_lines == state.before.marked_lines);
  CHECK(found->before.shim_unit == state.before.shim_unit);
  struct stat status{};
  REQUIRE(::stat(places.state().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
}

TEST_CASE("the id and the key pair are made once, in OpenSSH's own format") {
  const test::TemporaryDirectory folder;
  const Places places{.root = folder.path()};
  os::make_directories(places.folder(), 0700);
  const Identity made = make_identity(places);
  CHECK(made.id.size() > 20);
  CHECK(made.public_key.starts_with("ssh-ed25519 "));
  CHECK_THAT(made.private_key.reveal(), ContainsSubstring("BEGIN OPENSSH PRIVATE KEY"));
  struct stat status{};
  for (const auto& file : {places.id(), places.fleet_key()}) {
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
  }
  // A public key that was lost comes back; nothing else changes.
  std::filesystem::remove(places.fleet_public_key());
  const Identity again = make_identity(places);
  CHECK(again.id == made.id);
  CHECK(again.private_key == made.private_key);
  CHECK(again.public_key.starts_with(made.public_key.substr(0, 60)));
}

TEST_CASE("how the server comes in follows from its URL and the flags") {
  const auto settled = [](const StartOptions& options, const char* url) {
    return settle(options, settings_of(url), std::nullopt);
  };
  CHECK(settled({}, "http://127.0.0.1:3000").way_in == WayIn::loopback);
  const State remote = settled({}, "https://server.example");
  CHECK(remote.way_in == WayIn::tunnel);
  CHECK(remote.relay->server == HostPort{"server.example", 22});
  CHECK(remote.relay->user == "dstack-relay");
  CHECK(settled({.address = "10.0.0.5"}, "https://s").way_in == WayIn::host_sshd);
  CHECK(settled({.address = "10.0.0.5:2022"}, "https://s").way_in == WayIn::direct);
  CHECK(settled({.relay = {.user = "u", .key = "/dev/null", .listen = "10.0.0.1:4000"}}, "https://s").address ==
        HostPort{"10.0.0.1", 4000});
  CHECK(usage_of({.relay = {.user = "u"}}, "https://s") == 64);
  CHECK(usage_of({.address = "a b"}, "https://s") == 64);
  server_api::Settings none = settings_of("https://s");
  none.relay = server_api::Setting{.value = "none", .origin = "--relay"};
  CHECK_THROWS_AS(settle({}, none, std::nullopt), CommandError);
}

TEST_CASE("a tunnel's ssh asks nothing and trusts a relay's key the first time only; no key is on its command line") {
  const Places places;
  const auto command = tunnel_command(places, {.server = {"relay", 2022}}, "127.70.1.1:2222");
  const std::string text = [&] {
    std::string all;
    for (const std::string& word : command) all += word + " ";
    return all;
  }();
  CHECK(text.starts_with("ssh -T "));
  for (const char* part : {"BatchMode=yes", "IdentitiesOnly=yes", "ExitOnForwardFailure=yes", "ConnectTimeout=10",
                           "StrictHostKeyChecking=accept-new", "UserKnownHostsFile=/root/.dstack/join/known_hosts",
                           "-p 2022", "-R 127.70.1.1:2222:127.0.0.1:10023", "dstack-relay@relay"}) {
    CHECK_THAT(text, ContainsSubstring(part));
  }
}

TEST_CASE("why a tunnel ended is told by what ssh wrote") {
  const Places places;
  const Relay relay{.server = {"relay", 2022}};
  const auto kind = [&](const char* words) {
    return describe_end(words, "exited with status 255", places, relay).kind;
  };
  CHECK(kind("u@relay: Permission denied (publickey).\r\n") == TunnelEnd::Kind::login_refused);
  CHECK(kind("Error: remote port forwarding failed for listen port 2222\n") == TunnelEnd::Kind::address_taken);
  CHECK(kind("ssh: connect to host relay port 2022: Connection refused\n") == TunnelEnd::Kind::other);
  const TunnelEnd changed =
      describe_end("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\n",
                   "exited with status 255", places, relay);
  CHECK(changed.kind == TunnelEnd::Kind::relay_changed);
  CHECK_THAT(changed.reason, ContainsSubstring("ssh-keygen -R '[relay]:2022' -f /root/.dstack/join/known_hosts"));
}

TEST_CASE("pauses between tunnels double up to 15 s, each a fifth more or less") {
  double share = 0.5;
  Backoff backoff([&share] { return share; });
  std::vector<std::chrono::milliseconds> pauses;
  for (int i = 0; i < 6; ++i) pauses.push_back(backoff.next());
  CHECK(pauses == std::vector<std::chrono::milliseconds>{1s, 2s, 4s, 8s, 15s, 15s});
  backoff.reset();
  share = 0;
  CHECK(backoff.next() == 800ms);
  share = 1;
  CHECK(backoff.next() == 2400ms);
}

TEST_CASE("programs that a server replaced are put back, three times within ten minutes") {
  const test::TemporaryDirectory folder;
  const Places places{.root = folder.path()};
  test::FakeClock clock;
  os::make_directories(places.folder(), 0700);
  os::make_directories(places.library(), 0755);
  os::make_directories(places.programs(), 0755);
  os::replace_file(places.agent_program(), "ours", 0755);
  Progress progress(places, clock);
  ProgramKeeper keeper(places, progress, clock, [] { return true; });
  const auto program = places.programs() / "dstack-runner";
  for (int i = 0; i < 3; ++i) {
    os::replace_file(program, "theirs", 0755);
    CHECK(keeper.look());
    CHECK(os::read_file(program) == "ours");
    clock.advance(1s);
  }
  os::replace_file(program, "theirs", 0755);
  CHECK_FALSE(keeper.look());
  CHECK(os::read_file(program) == "theirs");
  CHECK_THAT(read_progress(places)->at("programs").get<std::string>(), ContainsSubstring("dstack-runner"));
  // No shim was kept: the server's is left alone.
  CHECK_FALSE(std::filesystem::exists(places.programs() / "dstack-shim"));
}

TEST_CASE("a lock is held by one process at a time") {
  const test::TemporaryDirectory folder;
  {
    const auto lock = FileLock::try_take(folder / "lock");
    CHECK(lock);
    CHECK_FALSE(FileLock::try_take(folder / "lock"));
  }
  CHECK(FileLock::try_take(folder / "lock"));
}

}  // namespace dstack::runner::join
