#include "shim/dcgm/health.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/child.h"
#include "common/os/child_lines.h"
#include "common/text/utf8.h"

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

constexpr std::size_t kLineLimit = std::size_t{8} << 20;

}  // namespace

// The helper, with a question to ask of it and the lines that it answers.
class Health::Process {
 public:
  Process(const std::vector<std::string>& command, os::Clock& clock, const std::stop_token& stop)
      : child_(spec(command), clock, stop), lines_(child_, kLineLimit) {}

  // One byte fits into an empty pipe; there is never more than one question in it.
  void ask() { child_.write("\n"); }

  os::ChildLines& lines() { return lines_; }

 private:
  static os::ChildSpec spec(const std::vector<std::string>& command) {
    // A driver that hangs in the kernel is not asked a second time.
    std::vector<std::string> arguments = command;
    arguments[0] = "dcgm-health";
    return {.arguments = std::move(arguments),
            .program = command[0],
            .input = os::ChildStream::pipe(),
            .output = os::ChildStream::pipe(),
            .dies_with_parent = true,
            .key = "dcgm-health"};
  }

  os::Child child_;
  os::ChildLines lines_;
};

Health::Health(std::vector<std::string> command, os::Clock& clock, HealthLimits limits,
               std::function<void(const std::string&)> on_lost)
    : command_(std::move(command)), clock_(clock), limits_(limits), on_lost_(std::move(on_lost)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Health::~Health() = default;

std::optional<HealthReport> Health::check() {
  os::Lock lock(mutex_);
  if (!unread_) {
    if (!alive_) return std::nullopt;
    const std::uint64_t before = answers_;
    // Who comes while a question is on its way shares its answer.
    wanted_ = !asked_;
    wake_.set();
    clock_.wait_until(lock.native(), changed_, clock_.now() + limits_.answer,
                      [&]() DSTACK_REQUIRES(mutex_) { return answers_ != before || !alive_; });
    if (answers_ == before) return std::nullopt;
  }
  unread_ = false;
  return last_ ? for_server(*last_) : std::nullopt;
}

void Health::run(const std::stop_token& stop) {
  std::chrono::milliseconds pause = limits_.first_pause;
  while (!stop.stop_requested()) {
    try {
      Process process(command_, clock_, stop);
      {
        const os::Lock lock(mutex_);
        alive_ = true;
        changed_.notify_all();
      }
      if (look_after(process, stop)) pause = limits_.first_pause;
    } catch (const std::exception& error) {
      if (!stop.stop_requested()) tell(error.what());
    }
    {
      const os::Lock lock(mutex_);
      alive_ = false;
      wanted_ = false;
      asked_ = false;
      changed_.notify_all();
    }
    os::pause(clock_, pause, stop);
    pause = std::min(pause * 2, limits_.longest_pause);
  }
}

bool Health::look_after(Process& process, const std::stop_token& stop) {
  std::optional<os::SteadyTime> answer_by;
  os::SteadyTime ask_at = clock_.now() + limits_.interval;
  bool answered = false;
  bool said_why = false;
  while (true) {
    if (take_request(!answer_by && clock_.now() >= ask_at)) {
      answer_by = clock_.now() + limits_.patience;
      ask_at = clock_.now() + limits_.interval;
      process.ask();
    }
    const os::ChildLines::Next next = process.lines().next(stop, answer_by.value_or(ask_at), wake_.fd());
    switch (next.outcome) {
      case os::ChildLines::Outcome::line:
        if (take_line(next.text)) answered = true;
        said_why = !answered;
        answer_by.reset();
        break;
      case os::ChildLines::Outcome::woken: wake_.clear(); break;
      case os::ChildLines::Outcome::stopped: return answered;
      case os::ChildLines::Outcome::timed_out:
        if (!answer_by) break;  // it is to be asked
        tell(std::format("no answer within {} ms", limits_.patience.count()));
        return answered;
      case os::ChildLines::Outcome::ended:
        if (!said_why) tell("the DCGM helper process exited");
        return answered;
    }
  }
}

bool Health::take_request(bool due) {
  const os::Lock lock(mutex_);
  if (!std::exchange(wanted_, false) && !due) return false;
  asked_ = true;
  return true;
}

bool Health::take_line(const std::string& line) {
  // What a library has written need not be UTF-8.
  const json value = json::parse(text::valid_utf8(line), nullptr, false);
  std::optional<HealthReport> report;
  if (value.is_object() && value.contains("health")) {
    report = parse_report(value["health"]);
    if (const auto lost = value.find("lost"); report && lost != value.end()) take_lost(*lost);
  } else if (value.is_object() && value.contains("error") && value["error"].is_string()) {
    tell(printable(value["error"].get<std::string>(), 500));
  } else {
    tell(std::format("unexpected output: {}", printable(line)));
  }
  const bool is_report = report.has_value();
  if (is_report) told_.clear();
  take_report(std::move(report));
  return is_report;
}

void Health::take_report(std::optional<HealthReport> report) {
  const os::Lock lock(mutex_);
  if (!unread_ || !last_) {
    last_ = std::move(report);
  } else if (report) {
    last_ = merge(*last_, *std::move(report));
  }
  unread_ = last_ && (last_->overall_health != 0 || !last_->incidents.empty());
  asked_ = false;
  ++answers_;
  changed_.notify_all();
}

void Health::take_lost(const json& uuids) {
  std::set<std::string> lost;
  for (const json& uuid : uuids) {
    if (uuid.is_string()) lost.insert(uuid.get<std::string>());
  }
  for (const std::string& uuid : lost) {
    if (!lost_.contains(uuid) && on_lost_) on_lost_(uuid);
  }
  lost_ = std::move(lost);
}

void Health::tell(const std::string& trouble) {
  // A host without DCGM is an ordinary one: its log is not to be full of that.
  spdlog::log(trouble == told_ ? spdlog::level::debug : spdlog::level::warn, "DCGM: {}", trouble);
  told_ = trouble;
}

}  // namespace dstack::shim::dcgm
