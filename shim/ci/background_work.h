#pragma once

#include <functional>
#include <list>
#include <memory>
#include <stop_token>
#include <thread>

namespace dstack::shim::ci {

class Mailbox;

// Work that may take long, each piece on a thread of its own, and its result done on the launcher's. One thread uses
// it.
class BackgroundWork {
 public:
  using Result = std::function<void()>;

  explicit BackgroundWork(Mailbox& mail) : mail_(mail) {}
  BackgroundWork(const BackgroundWork&) = delete;
  BackgroundWork& operator=(const BackgroundWork&) = delete;
  // Waits for all.
  ~BackgroundWork();

  // Does `work`; what it returns is posted. `work` must not throw. Throws Error if no thread can be made.
  void run(const char* purpose, std::function<Result()> work);

  // For what an piece waits for: requested by the destructor.
  std::stop_token stop() const { return stop_.get_token(); }

 private:
  struct Piece {
    std::shared_ptr<bool> done;  // of the launcher's thread
    std::jthread thread;
  };

  Mailbox& mail_;
  std::stop_source stop_;
  std::list<Piece> background_;
};

}  // namespace dstack::shim::ci
