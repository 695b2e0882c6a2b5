#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::client {

// How a program ended that a held runner started.
struct ProgramEnd {
  std::optional<int> exit_status;  // nothing if a signal ended it
  std::string signal;              // "SIGKILL"; empty if none did
  bool out_of_memory = false;      // meanwhile a process of the container was killed for want of memory

  // As a shell reports it: 128 + n for a signal.
  int status() const;
};

enum class Stream { output, errors };

// Takes the stream of frames apart with which a held runner answers: what a program writes, and how it ended.
class ExecFrames {
 public:
  using Take = std::function<void(Stream, std::string_view)>;

  // Pieces may be cut anywhere. Throws Error (unavailable) for what is not a frame.
  void read(std::string_view piece, const Take& take);
  // Nothing before the last frame.
  const std::optional<ProgramEnd>& end() const { return end_; }

 private:
  void begin_frame();
  void read_end();

  std::string header_;
  std::string payload_;  // of the last frame
  std::uint32_t left_ = 0;
  std::optional<ProgramEnd> end_;
};

}  // namespace dstack::shim::client
