#pragma once

#include <atomic>
#include <nlohmann/json_fwd.hpp>

#include "common/http/client.h"
#include "tests/inject/life.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A shim on a fake engine, and tasks that go from submit to remove. One shim lives through all strikes, unless one ends
// it.
class ShimLife final : public Subject {
 public:
  // `user`: whose authorized_keys get the tasks' keys; empty: no keys.
  ShimLife(std::filesystem::path shim, std::string user);
  LifeResult live(const Strike& strike) override;

 private:
  struct Answer {
    int status = 0;  // 0: none
    std::string text;
  };

  void start();
  bool is_up();
  Answer call(const std::string& method, const std::string& path, const nlohmann::json& body,
              std::chrono::milliseconds limit);
  nlohmann::json config(const std::string& id) const;
  Answer submit(const std::string& id, std::chrono::milliseconds limit);
  Answer terminate(const std::string& id, std::chrono::milliseconds limit);
  Answer remove(const std::string& id, std::chrono::milliseconds limit);
  nlohmann::json await_start(const std::string& id, std::chrono::milliseconds limit);
  std::string struck(const std::string& id, const Strike& strike, LifeResult& result);
  bool recover(const std::string& id);
  std::string plain_life();
  std::string plain_life(const std::string& id);
  void warm_up();
  std::string left() const;
  std::string left_at_last() const;
  std::size_t entries(const std::string& folder) const;

  const std::filesystem::path binary_;
  const std::string user_;
  TemporaryDirectory folder_;
  const std::filesystem::path home_ = folder_ / "home";
  FakeEngine engine_;
  int port_ = 0;
  std::atomic<unsigned> tasks_ = 0;
  std::size_t descriptors_ = 0;  // of a shim without tasks
  std::size_t threads_ = 0;
  std::unique_ptr<TracedProgram> program_;
};

}  // namespace dstack::test
