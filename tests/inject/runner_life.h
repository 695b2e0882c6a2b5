#pragma once

#include <nlohmann/json_fwd.hpp>

#include "tests/inject/life.h"
#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A runner with a job: each strike has a new one, since a runner ends with its job. It has namespaces of its own, as in
// a container, and sees this machine's files below an overlay.
class RunnerLife final : public Subject {
 public:
  explicit RunnerLife(std::filesystem::path runner);
  LifeResult live(const Strike& strike) override;

 private:
  const std::filesystem::path binary_;
  TemporaryDirectory folder_;
};

}  // namespace dstack::test
