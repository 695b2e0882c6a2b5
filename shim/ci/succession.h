#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/ci/ci.h"

namespace dstack::shim::ci {

// Registers a launcher's runners, one after the other, under one name. Where the CI still has an earlier one by that
// name, that one is deleted; if it cannot be for 30 s, the new one gets a number behind the name. One thread at a time
// uses it.
class Succession {
 public:
  // `ci` and `clock` must outlive this.
  Succession(Ci& ci, std::string name, std::vector<std::string> labels, os::Clock& clock)
      : ci_(ci), name_(std::move(name)), labels_(std::move(labels)), clock_(clock) {}

  // `earlier`: the ids of the launcher's runners that may still be listed; those that are gone are taken out.
  // `announce` is called with the name before each attempt. Throws as Ci::add does.
  Registration next(std::vector<std::string>& earlier, const std::function<void(const std::string& name)>& announce,
                    const Patience& patience);
  // The plain name is known not to be free: it is tried, but not waited for.
  void expect_number() { is_name_stuck_ = true; }

 private:
  std::string numbered(int number) const;
  void forget_gone(std::vector<std::string>& earlier, const Patience& patience);

  Ci& ci_;
  const std::string name_;
  const std::vector<std::string> labels_;
  os::Clock& clock_;
  bool is_name_stuck_ = false;  // the plain name could not be had for 30 s
};

// Deletes these runners; those that are gone are taken out of the list. Busy if one is left because it has a job.
// The first failure is thrown when all have been tried.
Removal remove_all(Ci& ci, std::vector<std::string>& runners, const Patience& patience);

}  // namespace dstack::shim::ci
