#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/secret.h"

namespace dstack::shim::ci {

// A refusal by a CI system, quoted with its HTTP status.
class CiFailure : public Error {
 public:
  CiFailure(int http_status, const std::string& message) : Error(kind_of(http_status), message), status_(http_status) {}

  int http_status() const noexcept { return status_; }
  bool is_token_refused() const noexcept { return status_ == 401; }

 private:
  static ErrorKind kind_of(int status) {
    if (status == 404) return ErrorKind::not_found;
    return status == 401 || status == 403 ? ErrorKind::forbidden : ErrorKind::unavailable;
  }

  int status_;
};

// Another runner has the name.
class NameTaken : public CiFailure {
 public:
  using CiFailure::CiFailure;
};

// How long a call may take. While the CI cannot be reached, or answers 5xx, it is asked again for `network`; what it
// says itself about when to come back is followed, however long that is. `stop` ends the call (Error, cancelled).
struct Patience {
  std::stop_token stop;
  std::chrono::seconds network{0};
};

// A runner as the CI lists it.
struct ListedRunner {
  std::string id;
  std::string name;
  bool online = false;
  bool paused = false;
  std::vector<std::string> labels = {};  // where the list has them
};

struct Registration {
  std::string id;
  std::string name;
  Secret token;  // the agent's: GitLab's token of the runner, GitHub's just-in-time configuration
};

// A runner that was registered by another launcher, of which only its own token is known: see cloud/.
struct GivenRunner {
  Registration runner;
  std::string agent_offer;  // Agent::offer(); may be empty
};

// A job by the CI's own ids; what is not known is empty.
struct CiJob {
  std::string id;        // at GitHub the job's name in the workflow
  std::string project;   // at GitHub the repository, "owner/name"
  std::string pipeline;  // at GitHub the workflow run
  std::string runner = {};

  friend bool operator==(const CiJob&, const CiJob&) = default;
};

enum class Removal {
  removed,
  removed_by_own_token,  // ours is no longer accepted
  busy,                  // GitHub: it has a job
};

enum class Rerun {
  started,
  too_early,   // the job, or its workflow run, goes on
  not_needed,  // it has succeeded, or was run again already
};
struct RerunAnswer {
  Rerun rerun = Rerun::started;
  std::string refusal = {};  // of too_early, in the CI's own words
};

// A CI system, as a launcher uses it: the runners of one project, group, repository or organisation. Members throw
// CiFailure for a refusal, Error (unavailable, timed_out) while the CI cannot be reached, Error (cancelled). All but
// check() may be called from any thread once check() has returned.
class Ci {
 public:
  virtual ~Ci() = default;

  // Whether the repository can be one; at GitLab also whether the token may see it. Everything else needs it.
  virtual void check(const Patience& patience) = 0;

  virtual std::vector<ListedRunner> runners(const Patience& patience) = 0;
  // Whether the runner has all of these labels, in any letter case.
  virtual bool has_labels(const ListedRunner& runner, const std::vector<std::string>& labels,
                          const Patience& patience) = 0;
  virtual bool is_busy(const std::string& runner, const Patience& patience) = 0;

  // A request whose answer was lost is made again; what it had made is removed. Throws NameTaken where a CI allows a
  // name only once.
  virtual Registration add(const std::string& name, const std::vector<std::string>& labels,
                           const Patience& patience) = 0;
  virtual bool is_listed(const std::string& runner, const Patience& patience) = 0;
  // Lets no more jobs come. Busy: one has just come, and may have to be waited for.
  virtual Removal withdraw(const std::string& runner, const Patience& patience) = 0;
  // A runner that is not listed is removed. `own` is the runner's own token, where it is known and of use.
  virtual Removal remove(const std::string& runner, const Secret& own, const Patience& patience) = 0;
  virtual RerunAnswer rerun(const CiJob& job, const Patience& patience) = 0;
};

}  // namespace dstack::shim::ci
