#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/http/upgraded.h"
#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "common/os/wait.h"
#include "shim/client/terminal.h"
#include "shim/docker/stream_frames.h"

namespace dstack::shim::client {

// The signals that a command with a stream has to watch (os::block_and_watch).
os::UniqueFd watch_stream_signals();

// Connects this process's standard streams with a program in a container, through the engine's stream, until either has
// enough: keys and bytes as they come, backpressure both ways, the size of the terminal.
class StdioStream {
 public:
  struct Settings {
    bool input = false;     // read stdin
    bool terminal = false;  // the program has a terminal: its bytes come without frames
    int input_fd = 0;
    int output_fd = 1;
    int errors_fd = 2;
  };
  // Sets the size of the program's terminal; false if that cannot be done yet. Throws nothing.
  using Resize = std::function<bool(TerminalSize)>;
  // What to do about a signal: false ends the stream.
  using OnSignal = std::function<bool(int signal)>;

  enum class End { ended, unread, signalled };
  struct Outcome {
    End end = End::ended;  // the program's side, stdout is closed, on_signal
    int signal = 0;
  };

  // `signals` and `stream` outlive this object.
  StdioStream(http::Upgraded& stream, Settings settings, const os::UniqueFd& signals, Resize resize, OnSignal on_signal,
              os::Clock& clock = os::system_clock());

  // Throws Error if a stream breaks.
  Outcome run();

 private:
  struct Pending {
    int fd;
    std::string bytes = {};
  };

  bool step();
  os::Wait::Outcome wait_for(std::span<pollfd> descriptors);
  void read_stream();
  void take_output(std::string_view bytes);
  void write_stream();
  bool write_pending(Pending& pending);
  void read_input();
  void take_signal();
  void want_size();
  void apply_size();

  http::Upgraded& stream_;
  const Settings settings_;
  const os::UniqueFd& signals_;
  const Resize resize_;
  const OnSignal on_signal_;
  os::Clock& clock_;
  docker::StreamFrames frames_;
  Pending output_;
  Pending errors_;
  std::string input_;  // on its way to the program
  bool input_open_;
  bool ended_ = false;  // the program's side
  os::Wait wait_;
  std::optional<TerminalSize> size_wanted_;
  os::SteadyTime size_due_;
  int size_tries_ = 0;
  std::optional<Outcome> outcome_;
};

}  // namespace dstack::shim::client
