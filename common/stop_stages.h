#pragma once

#include <array>
#include <chrono>
#include <csignal>

namespace dstack {

// How a runner stops its job: each stage begins if the job is still there when the one before it is over.
struct StopStage {
  int signal;
  std::chrono::milliseconds length;  // how long the job may take to end
};

inline constexpr StopStage kInterruptStage{SIGINT, std::chrono::seconds{5}};  // the terminal's interrupt character
inline constexpr StopStage kHangUpStage{SIGHUP, std::chrono::seconds{5}};
// Then SIGKILL. A killed process may still not go: one in an uninterruptible wait (a dead network disk) may never, one
// that gives back a GPU's memory takes a while.
inline constexpr StopStage kKillStage{SIGKILL, std::chrono::milliseconds{800}};

inline constexpr std::array kStopStages{kInterruptStage, kHangUpStage, kKillStage};

// From the stop to giving up on processes that were killed.
inline constexpr std::chrono::milliseconds kWholeStop = [] {
  std::chrono::milliseconds sum{0};
  for (const StopStage& stage : kStopStages) sum += stage.length;
  return sum;
}();

// What a client waits by default before it kills the container: all stages, and time for their end to be reported.
inline constexpr std::chrono::seconds kStopTimeout =
    std::chrono::ceil<std::chrono::seconds>(kWholeStop) + std::chrono::seconds{4};

}  // namespace dstack
