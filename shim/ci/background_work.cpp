#include "shim/ci/background_work.h"

#include "common/os/thread.h"
#include "shim/ci/mailbox.h"

namespace dstack::shim::ci {

BackgroundWork::~BackgroundWork() {
  stop_.request_stop();
  background_.clear();
}

void BackgroundWork::run(const char* purpose, std::function<Result()> work) {
  std::erase_if(background_, [](const Piece& piece) { return *piece.done; });
  auto done = std::make_shared<bool>(false);
  auto thread = os::start_thread<std::jthread>(purpose, [&mail = mail_, done, work = std::move(work)] {
    mail.post([done, result = work()] {
      *done = true;
      result();
    });
  });
  background_.push_back({.done = done, .thread = std::move(thread)});
}

}  // namespace dstack::shim::ci
