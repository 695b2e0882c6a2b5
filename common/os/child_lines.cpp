#include "common/os/child_lines.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/wait.h"

namespace dstack::os {

ChildLines::ChildLines(Child& child, std::size_t line_limit)
    : child_(child),
      clock_(child.clock()),
      line_limit_(line_limit),
      sources_{{.pipe = std::move(child.output()), .unread = {}}, {.pipe = std::move(child.errors()), .unread = {}}} {}

ChildLines::Next ChildLines::next(const std::stop_token& stop, std::optional<SteadyTime> deadline, int wake) {
  Wait wait(clock_, stop, deadline);
  while (true) {
    for (const Stream stream : {Stream::output, Stream::errors}) {
      if (auto line = take(sources_[static_cast<int>(stream)])) {
        return {.outcome = Outcome::line, .stream = stream, .text = *std::move(line)};
      }
    }
    if (ended_) return {.outcome = Outcome::ended};
    pollfd waiting[] = {{.fd = sources_[0].pipe.get(), .events = POLLIN, .revents = 0},
                        {.fd = sources_[1].pipe.get(), .events = POLLIN, .revents = 0},
                        {.fd = child_.ended_fd(), .events = POLLIN, .revents = 0},
                        {.fd = wake, .events = POLLIN, .revents = 0}};
    const Wait::Outcome outcome = wait.until_ready(waiting, "a child's output");
    if (outcome == Wait::Outcome::stopped) return {.outcome = Outcome::stopped};
    if (outcome == Wait::Outcome::timed_out) return {.outcome = Outcome::timed_out};
    ended_ = waiting[2].revents != 0;
    for (std::size_t i = 0; i < std::size(sources_); ++i) {
      if (ended_) {
        read_rest(sources_[i]);
      } else if (waiting[i].revents != 0) {
        read(sources_[i], line_limit_);
      }
    }
    if (!ended_ && waiting[3].revents != 0) return {.outcome = Outcome::woken};
  }
}

std::optional<std::string> ChildLines::take(Source& source) const {
  std::string& unread = source.unread;
  std::size_t end = unread.find('\n');
  std::size_t next = end + 1;
  if (end == std::string::npos || end > line_limit_) {
    const bool complete = unread.size() >= line_limit_ || (!source.pipe && !unread.empty());
    if (!complete) return std::nullopt;
    end = next = std::min(unread.size(), line_limit_);
  } else if (end > 0 && unread[end - 1] == '\r') {
    --end;
  }
  std::string line = unread.substr(0, end);
  unread.erase(0, next);
  return line;
}

void ChildLines::read(Source& source, std::size_t most) {
  char buffer[16384];
  const ssize_t count = ::read(source.pipe.get(), buffer, std::min(most, sizeof buffer));
  if (count > 0) source.unread.append(buffer, static_cast<std::size_t>(count));
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) source.pipe.reset();
}

void ChildLines::read_rest(Source& source) {
  int left = 0;
  if (!source.pipe) return;
  if (::ioctl(source.pipe.get(), FIONREAD, &left) != 0) left = 0;
  for (std::size_t before = source.unread.size(); left > 0 && source.pipe; before = source.unread.size()) {
    read(source, static_cast<std::size_t>(left));
    left -= static_cast<int>(source.unread.size() - before);
    if (source.unread.size() == before) break;
  }
  source.pipe.reset();
}

}  // namespace dstack::os
