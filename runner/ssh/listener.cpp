#include "runner/ssh/listener.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <format>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::runner::ssh {

namespace {

constexpr std::chrono::milliseconds kEndLimit{2000};

// Nothing of the runner's but what sshd hands on to sessions, the time zone.
std::vector<std::string> environment_with(const std::string& announcement) {
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                          announcement};
  if (const char* zone = std::getenv("TZ")) environment.push_back(std::format("TZ={}", zone));
  return environment;
}

// The last line of a log, of which only the end is read.
std::string last_line(const std::filesystem::path& path) {
  const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return "";
  char buffer[1024];
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  const auto start = std::max<off_t>(0, size - static_cast<off_t>(sizeof buffer));
  const ssize_t count = ::pread(file.get(), buffer, sizeof buffer, start);
  if (count <= 0) return "";
  std::string text(buffer, static_cast<std::size_t>(count));
  text.erase(text.find_last_not_of("\r\n") + 1);
  return text.substr(text.rfind('\n') + 1);
}

// By its whole path, by which it starts itself again for each connection.
os::Child start(const ServerPlaces& places, const std::string& announcement, os::Clock& clock) {
  const os::UniqueFd log = os::open_file(places.log(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  return os::Child({.arguments = {places.sshd(), "-D", "-f", places.config(), "-E", places.log()},
                    .environment = environment_with(announcement),
                    .output = os::ChildStream::to(log.get()),
                    .errors = os::ChildStream::to(log.get()),
                    .own_session = true,
                    .spare_group = true},
                   clock);
}

}  // namespace

Listener::Listener(const ServerPlaces& places, const std::string& announcement, os::Clock& clock)
    : places_(places), clock_(clock), process_(start(places, announcement, clock)) {}

Listener::~Listener() {
  process_.signal(SIGTERM);
  process_.wait({}, clock_.now() + kEndLimit);
}

std::string Listener::describe_end() {
  const auto status = process_.try_wait();
  const std::string end = status ? status->describe() : "has ended";
  const std::string line = last_line(places_.log());
  return line.empty() ? end : std::format("{}; the last line of its log: {}", end, printable(line));
}

}  // namespace dstack::runner::ssh
