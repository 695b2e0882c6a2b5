#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "runner/ssh/server_config.h"

namespace dstack::runner::ssh {

// The container's own SSH server: unpacked, given host keys and a configuration, started, started again should
// something end it (a job may kill whatever it sees), and ended with this object. It works on a thread of its own.
//
// A container without an SSH server can still run its job. So what goes wrong here is logged, and is a
// problem() for whoever asks, but nothing is thrown.
class Server {
 public:
  struct Settings {
    int port = 10022;
    std::string log_level = "INFO";
    ServerPlaces places;
    std::filesystem::path forwarded_sockets =
        "/run/dstack";              // where the dstack server has its own forwarded to; may be ""
    std::optional<HostLogin> host;  // nothing: a container's login
  };

  // Begins to start it.
  explicit Server(Settings settings, os::Clock& clock = os::system_clock());
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Ends the listener; what people started through it is not touched.
  ~Server();

  // Waits until it answers, which takes some 50 ms, or cannot be started; true if it answers.
  bool wait_ready();

  // From any thread: why nobody can log in at the moment; nothing if everybody can.
  std::optional<std::string> problem() const;

 private:
  enum class Stage { starting, answering, failed };

  void run();
  void prepare();
  void make_host_key(const std::string& type);
  void serve();
  // Starts the listener and sees it to its end. How it ended; nothing if it ended because this object does.
  std::optional<std::string> run_listener();
  void set(Stage stage, std::optional<std::string> problem);
  Stage stage() const;

  const Settings settings_;
  os::Clock& clock_;
  const os::Event stop_;
  const std::unique_ptr<os::Timer> timer_;

  mutable os::Mutex mutex_;
  std::condition_variable changed_;
  Stage stage_ DSTACK_GUARDED_BY(mutex_) = Stage::starting;
  std::optional<std::string> problem_ DSTACK_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dstack::runner::ssh
