#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/child.h"
#include "common/os/clock.h"

namespace dstack::os {

// The lines that a child writes to its output and its errors, in the order in which they arrive. It takes both pipes
// over; a stream that is not a pipe is passed over. One thread uses it; the child must outlive it.
class ChildLines {
 public:
  enum class Stream { output, errors };
  enum class Outcome {
    line,
    ended,      // the child has ended and every line was read
    stopped,    // `stop` came first
    timed_out,  // the deadline came first
    woken       // `wake` became readable first
  };
  struct Next {
    Outcome outcome = Outcome::ended;
    Stream stream = Stream::output;
    std::string text;  // without its line end, "\n" or "\r\n"
  };

  // Longer lines arrive in pieces of `line_limit` bytes, so a child without line ends costs no more memory than that.
  explicit ChildLines(Child& child, std::size_t line_limit = std::size_t{64} << 10);

  // The next line. What a child wrote before it ended is read to its end, an unfinished last line too. `wake` is a
  // descriptor for a caller that waits for something else as well. Throws Error.
  Next next(const std::stop_token& stop = {}, std::optional<SteadyTime> deadline = {}, int wake = -1);

 private:
  struct Source {
    UniqueFd pipe;
    std::string unread;
  };

  // A line that was read already; an unfinished one only if the pipe is closed.
  std::optional<std::string> take(Source& source) const;
  static void read(Source& source, std::size_t most);
  // What is left in the pipe of a child that has ended; what others may write to it meanwhile is not waited for.
  static void read_rest(Source& source);

  Child& child_;
  Clock& clock_;
  const std::size_t line_limit_;
  Source sources_[2];
  bool ended_ = false;
};

}  // namespace dstack::os
