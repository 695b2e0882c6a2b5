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
class Errands {
 public:
  using Result = std::function<void()>;

  explicit Errands(Mailbox& mail) : mail_(mail) {}
  Errands(const Errands&) = delete;
  Errands& operator=(const Errands&) = delete;
  // Waits for all.
  ~Errands();

  // Does `work`; what it returns is posted. `work` must not throw. Throws Error if no thread can be made.
  void run(const char* purpose, std::function<Result()> work);

  // For what an errand waits for: requested by the destructor.
  std::stop_token stop() const { return stop_.get_token(); }

 private:
  struct Errand {
    std::shared_ptr<bool> done;  // of the launcher's thread
    std::jthread thread;
  };

  Mailbox& mail_;
  std::stop_source stop_;
  std::list<Errand> errands_;
};

}  // namespace dstack::shim::ci
