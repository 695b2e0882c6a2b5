#include "shim/ci/succession.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <format>

#include "common/error.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kNameLimit{30};
constexpr std::chrono::seconds kLongestNamePause{5};
constexpr std::size_t kLongestRunnerName = 64;
constexpr int kHighestNumber = 100;

}  // namespace

std::string Succession::numbered(int number) const {
  if (number == 1) return name_;
  const std::string suffix = std::format("-{}", number);
  return name_.substr(0, kLongestRunnerName - suffix.size()) + suffix;
}

Registration Succession::next(std::vector<std::string>& earlier,
                              const std::function<void(const std::string&)>& announce, const Patience& patience) {
  os::SteadyTime name_limit = clock_.now() + kNameLimit;
  if (is_name_stuck_) name_limit = clock_.now();
  GrowingPause growing;
  for (int number = 1;;) {
    const std::string name = numbered(number);
    announce(name);
    try {
      Registration registration = ci_.add(name, labels_, patience);
      if (number == 1) is_name_stuck_ = false;
      forget_gone(earlier, patience);
      return registration;
    } catch (const NameTaken&) {
      if (number == kHighestNumber) throw;
    }
    if (number == 1) {
      const bool had_earlier = !earlier.empty();
      remove_all(ci_, earlier, patience);
      if (had_earlier && earlier.empty()) continue;
      const auto left = std::chrono::duration_cast<std::chrono::seconds>(name_limit - clock_.now());
      const std::chrono::seconds pause = std::min({growing.next(), kLongestNamePause, left});
      if (left.count() > 0) {
        if (!os::pause(clock_, pause, patience.stop))
          throw Error(ErrorKind::cancelled, std::format("register runner {}: cancelled", name_));
        continue;
      }
      is_name_stuck_ = true;
      spdlog::warn("A runner {} is still listed: registering {}", name_, numbered(2));
    }
    ++number;
  }
}

// The CI removes most of them by itself.
void Succession::forget_gone(std::vector<std::string>& earlier, const Patience& patience) {
  try {
    remove_all(ci_, earlier, {.stop = patience.stop});
  } catch (const std::exception& error) {  // there is a next time
    spdlog::debug("{}", error.what());
  }
}

Removal remove_all(Ci& ci, std::vector<std::string>& runners, const Patience& patience) {
  std::exception_ptr failure;
  std::vector<std::string> left;
  Removal result = Removal::removed;
  for (const std::string& runner : runners) {
    try {
      if (ci.remove(runner, {}, patience) != Removal::busy) continue;
      result = Removal::busy;
    } catch (const std::exception&) {
      if (!failure) failure = std::current_exception();
    }
    left.push_back(runner);
  }
  runners = std::move(left);
  if (failure) std::rethrow_exception(failure);
  return result;
}

}  // namespace dstack::shim::ci
