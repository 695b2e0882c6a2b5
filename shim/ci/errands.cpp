#include "shim/ci/errands.h"

#include "common/os/thread.h"
#include "shim/ci/mailbox.h"

namespace dstack::shim::ci {

Errands::~Errands() {
  stop_.request_stop();
  errands_.clear();
}

void Errands::run(const char* purpose, std::function<Result()> work) {
  std::erase_if(errands_, [](const Errand& errand) { return *errand.done; });
  auto done = std::make_shared<bool>(false);
  auto thread = os::start_thread<std::jthread>(purpose, [&mail = mail_, done, work = std::move(work)] {
    mail.post([done, result = work()] {
      *done = true;
      result();
    });
  });
  errands_.push_back({.done = done, .thread = std::move(thread)});
}

}  // namespace dstack::shim::ci
