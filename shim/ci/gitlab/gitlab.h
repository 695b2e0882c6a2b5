#pragma once

#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci::gitlab {

// Where runners are made: the project, or the group, of a repository's address.
struct Scope {
  enum class Kind { project, group };
  Kind kind = Kind::project;
  std::string id;
};

// The REST API of GitLab 16 or later.
class GitLab final : public Ci {
 public:
  // `base_url` is GitLab's own, "https://gitlab.com"; `path` the project's or group's, "team/project".
  GitLab(const std::string& base_url, std::string path, const Secret& token, os::Clock& clock);

  void check(const Patience& patience) override;
  std::vector<ListedRunner> runners(const Patience& patience) override;
  bool has_labels(const ListedRunner& runner, const std::vector<std::string>& labels,
                  const Patience& patience) override;
  bool is_busy(const std::string& runner, const Patience& patience) override;
  Registration add(const std::string& name, const std::vector<std::string>& labels, const Patience& patience) override;
  bool is_listed(const std::string& runner, const Patience& patience) override;
  Removal withdraw(const std::string& runner, const Patience& patience) override;
  Removal remove(const std::string& runner, const Secret& own, const Patience& patience) override;
  RerunAnswer rerun(const CiJob& job, const Patience& patience) override;

 private:
  bool find_scope(Scope::Kind kind, const Patience& patience, std::string& refusal);
  std::string scope_path() const;
  [[noreturn]] void refuse(const http::ClientResponse& answer, std::string_view doing) const;
  Registration register_once(const std::string& name, const std::vector<std::string>& labels, const Patience& patience);
  void remove_named(const std::string& name, const Patience& patience);

  Requests requests_;
  Requests unauthorized_;  // for what a runner's own token allows
  const std::string path_;
  os::Clock& clock_;
  Scope scope_;
};

}  // namespace dstack::shim::ci::gitlab
