#pragma once

namespace dstack::exit_status {

// How commands end, in both programs: the numbers of sysexits.h where it has one, docker's for what could not be run.
// A daemon ends with kDone or kFailed. The commands that a CI pipeline runs report a bad flag as kBadFlag, those of a
// pool as kUsage.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;             // tried, and it did not work: the message on stderr says why
inline constexpr int kBadFlag = 2;            // CI commands: a flag or an argument that is not understood
inline constexpr int kNotLive = 3;            // a status command: the service is there and does not work
inline constexpr int kUsage = 64;             // a flag or an argument that is not understood
inline constexpr int kBadData = 65;           // a file, a name or an answer that cannot be used as it is
inline constexpr int kUnavailable = 69;       // a server cannot be reached, or the host lacks something
inline constexpr int kTryLater = 75;          // not done in time; the work goes on, or may be tried again
inline constexpr int kNoPermission = 77;      // not root, or not allowed by the server
inline constexpr int kConfiguration = 78;     // nothing is configured, or the configuration contradicts itself
inline constexpr int kNotRun = 125;           // as `docker run`: the container could not be run at all
inline constexpr int kNotExecutable = 126;    // as a shell: the command was found and cannot be executed
inline constexpr int kCommandNotFound = 127;  // as a shell: the command was not found

// What a command's own failures are reported as. What it ran has a status of its own.
struct Failures {
  int usage;   // the command line is not understood
  int failed;  // any failure without a status of its own
};
inline constexpr Failures kOfRun{.usage = kNotRun, .failed = kNotRun};
inline constexpr Failures kOfTaskCommands{.usage = kNotRun, .failed = kFailed};  // as docker's commands
inline constexpr Failures kOfServerCommands{.usage = kUsage, .failed = kFailed};
inline constexpr Failures kOfCiCommands{.usage = kBadFlag, .failed = kFailed};

// Of a command that a signal ended, as a shell reports it.
constexpr int of_signal(int number) { return 128 + number; }

}  // namespace dstack::exit_status
