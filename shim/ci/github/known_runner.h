#pragma once

#include <string>
#include <vector>

#include "shim/ci/ci.h"

namespace dstack::shim::ci::github {

// GitHub for a launcher that was given a runner with its just-in-time configuration and nothing else: it can ask
// nothing. GitHub removes such a runner when it has had its job.
class KnownRunner final : public Ci {
 public:
  explicit KnownRunner(Registration runner) : runner_(std::move(runner)) {}

  void check(const Patience&) override {}
  std::vector<ListedRunner> runners(const Patience&) override { return {}; }
  bool has_labels(const ListedRunner&, const std::vector<std::string>&, const Patience&) override { return false; }
  bool is_busy(const std::string&, const Patience&) override { return false; }
  // The given one.
  Registration add(const std::string&, const std::vector<std::string>&, const Patience&) override { return runner_; }
  bool is_listed(const std::string&, const Patience&) override;  // throws Error
  Removal withdraw(const std::string&, const Patience&) override { return Removal::removed; }
  // Not possible: one that has had no job stays listed as offline, until GitHub or the next launcher removes it.
  Removal remove(const std::string&, const Secret&, const Patience&) override { return Removal::removed; }
  RerunAnswer rerun(const CiJob&, const Patience&) override;  // throws CiFailure

 private:
  const Registration runner_;
};

}  // namespace dstack::shim::ci::github
