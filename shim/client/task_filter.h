#pragma once

#include <string>
#include <vector>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// Which tasks `ps --filter KEY=VALUE` shows. Keys, as docker has them where it has them: id (the beginning of one),
// name (part of one), image or ancestor (with or without its tag), status (docker's "exited" is "terminated"), exited
// (its exit status, as `wait` prints it), local (true or false). Values of one key are alternatives, all keys must
// match.
class TaskFilter {
 public:
  // Throws Error (invalid) for an unknown key or value.
  explicit TaskFilter(const std::vector<std::string>& filters);

  bool matches(const TaskEntry& task) const;

 private:
  struct Condition {
    std::string key;
    std::string value;
  };
  static bool matches(const Condition& condition, const TaskEntry& task);

  std::vector<Condition> conditions_;
};

}  // namespace dstack::shim::client
