#include "runner/logs/page.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/text/base64.h"

namespace dstack::runner {

namespace {

constexpr std::size_t kWriteSize = std::size_t{64} << 10;

nlohmann::json to_json(const StampedState& stamped) {
  nlohmann::json json{{"state", stamped.state.state},
                      {"timestamp", stamped.time},
                      {"termination_reason", stamped.state.termination_reason},
                      {"termination_message", stamped.state.termination_message},
                      {"exit_status", nullptr}};
  if (stamped.state.exit_status) json["exit_status"] = *stamped.state.exit_status;
  return json;
}

}  // namespace

Page::Page(Snapshot snapshot, std::int64_t after, std::uint64_t limit)
    : snapshot_(std::move(snapshot)), until_(snapshot_.latest) {
  job_ = {snapshot_.job.first_after(after, snapshot_.job_count), snapshot_.job_count};
  runner_ = {snapshot_.runner.first_after(after, snapshot_.runner_count), snapshot_.runner_count};
  if (size_until(until_) > limit) {
    // The last moment that still fits, or else the first one there is.
    std::int64_t fits = INT64_MAX;
    if (job_.first < job_.end) fits = snapshot_.job.event(job_.first).time;
    if (runner_.first < runner_.end) fits = std::min(fits, snapshot_.runner.event(runner_.first).time);
    std::int64_t over = until_;
    while (over - fits > 1) {
      const std::int64_t middle = fits + (over - fits) / 2;
      (size_until(middle) <= limit ? fits : over) = middle;
    }
    if (fits < until_) until_ = fits;
    job_.end = snapshot_.job.first_after(until_, job_.end);
    runner_.end = snapshot_.runner.first_after(until_, runner_.end);
  }
  std::ranges::copy_if(snapshot_.states, std::back_inserter(states_),
                       [&](const StampedState& each) { return each.time > after && each.time <= until_; });
}

bool Page::empty() const { return job_.first == job_.end && runner_.first == runner_.end && states_.empty(); }

std::uint64_t Page::size_until(std::int64_t time) const {
  const auto size = [time](const EventLog& log, Range range) -> std::uint64_t {
    const std::uint64_t end = log.first_after(time, range.end);
    if (end <= range.first) return 0;
    return log.text_before(end) - log.text_before(range.first) + (end - range.first) * kEventOverhead;
  };
  return size(snapshot_.job, job_) + size(snapshot_.runner, runner_);
}

bool Page::write(const PieceSink& sink, std::optional<std::int64_t> no_connections_secs) const {
  nlohmann::json states = nlohmann::json::array();
  for (const StampedState& each : states_) states.push_back(to_json(each));
  std::string text = R"({"job_states":)" + dstack::json::dump(states);
  text += R"(,"job_logs":[)";
  if (!write_events(sink, text, snapshot_.job, job_)) return false;
  text += R"(],"runner_logs":[)";
  if (!write_events(sink, text, snapshot_.runner, runner_)) return false;
  text += std::format(R"(],"last_updated":{},"no_connections_secs":{},"has_more":{}}})", until_,
                      no_connections_secs ? std::to_string(*no_connections_secs) : "null", !last());
  return sink(text);
}

// Leaves the last of it in `text`.
bool Page::write_events(const PieceSink& sink, std::string& text, const EventLog& log, Range range) const {
  std::array<EventLog::Event, 128> events{};
  std::string message;
  for (std::uint64_t next = range.first; next < range.end;) {
    const auto some =
        std::span(events).first(static_cast<std::size_t>(std::min<std::uint64_t>(events.size(), range.end - next)));
    log.events(next, some);
    for (const EventLog::Event& event : some) {
      if (next++ != range.first) text += ',';
      log.text(event, message);
      text += R"({"timestamp":)";
      text += std::to_string(event.time);
      text += R"(,"message":")";
      text::append_base64(text, message);
      text += "\"}";
      if (text.size() < kWriteSize) continue;
      if (!sink(text)) return false;
      text.clear();
    }
  }
  return true;
}

}  // namespace dstack::runner
