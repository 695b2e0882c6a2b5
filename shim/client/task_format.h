#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// What `ps --format` prints of each task: text with {{.Field}} in it, as docker's templates that do no more than that;
// after "table ", columns under headings; "json", an object a line. {{json .}} and {{json .Field}} quote.
class TaskFormat {
 public:
  // Throws Error (invalid) for an unknown field and for anything else between braces.
  explicit TaskFormat(std::string_view format);

  std::string text(const std::vector<TaskEntry>& tasks, const os::Clock& clock) const;

 private:
  using Part = std::function<std::string(const TaskEntry&, const os::Clock&)>;

  void add_literal(std::string_view text);
  void add_action(std::string_view action);

  bool table_ = false;
  std::vector<Part> parts_;
  std::string headings_;
};

}  // namespace dstack::shim::client
