#pragma once

#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/ci/ci.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci::gitlab {

// GitLab for a launcher that was given a runner with its own token and nothing else: it can neither look at the list
// nor run a job again.
class KnownRunner final : public Ci {
 public:
  KnownRunner(const std::string& base_url, Registration runner, os::Clock& clock);

  void check(const Patience& patience) override;
  std::vector<ListedRunner> runners(const Patience& patience) override;
  bool has_labels(const ListedRunner& runner, const std::vector<std::string>& labels,
                  const Patience& patience) override;
  bool is_busy(const std::string& runner, const Patience& patience) override;
  // The given one.
  Registration add(const std::string& name, const std::vector<std::string>& labels, const Patience& patience) override;
  bool is_listed(const std::string& runner, const Patience& patience) override;
  // Nothing: the agent takes no more jobs when it is told to finish.
  Removal withdraw(const std::string& runner, const Patience& patience) override;
  Removal remove(const std::string& runner, const Secret& own, const Patience& patience) override;
  RerunAnswer rerun(const CiJob& job, const Patience& patience) override;

 private:
  std::string body() const;

  Requests requests_;
  const Registration runner_;
};

}  // namespace dstack::shim::ci::gitlab
