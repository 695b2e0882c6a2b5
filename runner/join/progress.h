#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "runner/join/places.h"

namespace dstack::runner::join {

// How the agent gets on, in join/progress.json: for `status`, and for a `start` that waits. What cannot be written is
// logged once; the agent goes on. From any thread.
class Progress {
 public:
  Progress(Places places, os::Clock& clock);

  void way_in(bool open, const std::string& reason);
  // What the server says of the fleet and its instance: "active", "idle"; the reason of what went wrong.
  void fleet(const std::string& fleet, const std::string& instance, const std::string& reason);
  void server_problem(const std::string& reason);  // empty: it answers
  void programs(const std::string& problem);       // empty: they are in place
  // Nothing more will be tried.
  void failed(const std::string& reason);

  bool way_is_open() const;

 private:
  void change(const std::function<void(nlohmann::json&)>& what);

  const Places places_;
  os::Clock& clock_;
  mutable os::Mutex mutex_;
  nlohmann::json values_ DSTACK_GUARDED_BY(mutex_);
};

// What the agent wrote last; nothing where it has not written yet.
std::optional<nlohmann::json> read_progress(const Places& places);

}  // namespace dstack::runner::join
