#include "runner/ssh/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <format>
#include <vector>

#include "common/error.h"
#include "common/os/child_process.h"
#include "common/os/file.h"

namespace dstack::runner::ssh {

namespace {

constexpr std::chrono::milliseconds end_limit{2000};

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

}  // namespace

Listener::Listener(const ServerPlaces& places, const std::string& announcement) : places_(places) {
  // By its whole path, by which it starts itself again for each connection.
  pid_ = os::start_background({places.sshd(), "-D", "-f", places.config(), "-E", places.log()},
                              environment_with(announcement), places.log());
  try {
    watch_ = std::make_unique<os::ProcessWatch>(pid_);
  } catch (...) {
    ::kill(pid_, SIGKILL);
    wait();
    throw;
  }
}

Listener::~Listener() {
  if (status_) return;
  ::kill(pid_, SIGTERM);
  pollfd ended{.fd = ended_fd(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, static_cast<int>(end_limit.count())) <= 0) ::kill(pid_, SIGKILL);
  wait();
}

int Listener::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  status_ = status;
  return status;
}

std::string Listener::describe_end() {
  const int status = status_ ? *status_ : wait();
  const std::string end = WIFSIGNALED(status) ? std::format("was killed by signal {}", WTERMSIG(status))
                                              : std::format("exited with status {}", WEXITSTATUS(status));
  const std::string words = last_line(places_.log());
  return words.empty() ? end : std::format("{}, its last words: {}", end, printable(words));
}

}  // namespace dstack::runner::ssh
