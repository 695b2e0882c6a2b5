#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci::github {

// A packed Actions agent that GitHub offers for this machine.
struct AgentRelease {
  std::string file_name;  // with the version: "actions-runner-linux-x64-2.336.0.tar.gz"
  std::string url;        // takes no token
  std::string sha256;     // lower-case hexadecimal
};

// The REST API of GitHub: github.com, a company's part of ghe.com, or GitHub Enterprise Server. Runners are made just
// in time: each takes one job, and GitHub removes it after that.
class GitHub final : public Ci {
 public:
  // `base_url` is GitHub's own, "https://github.com"; `path` "owner/repository", or an organisation.
  GitHub(const std::string& base_url, std::string path, const Secret& token, os::Clock& clock);

  void check(const Patience& patience) override;
  std::vector<ListedRunner> runners(const Patience& patience) override;
  bool has_labels(const ListedRunner& runner, const std::vector<std::string>& labels,
                  const Patience& patience) override;
  bool is_busy(const std::string& runner, const Patience& patience) override;
  Registration add(const std::string& name, const std::vector<std::string>& labels, const Patience& patience) override;
  bool is_listed(const std::string& runner, const Patience& patience) override;
  // An idle runner is removed, which is the only way to let no more jobs come.
  Removal withdraw(const std::string& runner, const Patience& patience) override;
  Removal remove(const std::string& runner, const Secret& own, const Patience& patience) override;
  RerunAnswer rerun(const CiJob& job, const Patience& patience) override;

  // The newest agent for this machine. Throws as the others do, and Error (invalid) for an offer without a checksum.
  AgentRelease newest_agent(const Patience& patience);

 private:
  nlohmann::json get(const std::string& path, std::string_view doing, const Patience& patience);
  std::vector<nlohmann::json> get_all(const std::string& path, std::string_view list, std::string_view doing,
                                      const Patience& patience);
  nlohmann::json parse(const http::ClientResponse& answer, std::string_view doing) const;
  [[noreturn]] void refuse(const http::ClientResponse& answer, std::string_view doing) const;
  std::optional<nlohmann::json> find_runner(const std::string& id, const Patience& patience);
  std::string runner_path(const std::string& id) const;
  Registration add_once(const std::string& name, const std::vector<std::string>& labels, const Patience& patience);
  void remove_named(const std::string& name, const Patience& patience);

  Requests requests_;
  const std::string path_;
  const std::string runners_path_;
  os::Clock& clock_;
};

// An agent as ActionsAgent::offer() has it. Throws Error.
AgentRelease parse_agent_release(const std::string& text);

// Where the API of a GitHub is.
std::string api_url(const std::string& base_url);

// The query of the next page of a list, from the answer's Link header; empty on the last page.
std::string next_page(std::string_view link);

// The labels that a runner gets: GitHub's own for a self-hosted one on this machine, then these.
std::vector<std::string> all_labels(const std::vector<std::string>& labels);

}  // namespace dstack::shim::ci::github
