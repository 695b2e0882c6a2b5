#include "runner/logs/logs.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <vector>

#include "common/error.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "common/text/utf8.h"
#include "runner/logs/event_log.h"
#include "runner/logs/job_log.h"
#include "runner/logs/page.h"
#include "runner/logs/quota.h"
#include "runner/logs/stamps.h"
#include "runner/logs/text_maker.h"

namespace dstack::runner {

namespace {

// Disk space for the runner's own words, so that it can still say that the disk is full.
constexpr std::size_t kRunnerLogReserve = std::size_t{64} << 10;

}  // namespace

class Logs::Implementation {
 public:
  Implementation(const std::filesystem::path& folder, os::Clock& clock)
      : clock_(clock),
        stamps_(clock),
        job_log_(folder, stamps_),
        job_events_(folder, "job", &job_log_),
        runner_events_(folder, "runner.log", nullptr),
        sink_(std::make_shared<Sink>(*this)),
        text_maker_(job_log_, clock, [this](const std::vector<Piece>& pieces) { return keep(pieces); }) {
    runner_events_.reserve(kRunnerLogReserve);
  }

  void append(std::string_view output) noexcept {
    if (!quota_exceeded_) job_log_.append(output);
  }

  void set_quota(std::uint64_t bytes_an_hour) {
    const os::Lock lock(mutex_);
    quota_.start(bytes_an_hour, clock_.now());
  }

  void add_state(const JobState& state) {
    const os::Lock lock(mutex_);
    states_.push_back({.time = stamps_.take(), .state = state});
  }

  void end_output() {
    job_log_.end();
    text_maker_.wait_until_done();
  }

  void finish(const JobState& end) {
    const os::Lock once(finishing_);
    if (complete_) return;
    end_output();
    if (const std::uint64_t lost = job_log_.lost(); lost > 0) {
      spdlog::error("{} bytes of the job's output could not be kept", lost);
    }
    const os::Lock lock(mutex_);
    states_.push_back({.time = stamps_.take(), .state = end});
    complete_ = true;
    look_whether_drained();
  }

  PageWriter pull(std::int64_t after, std::optional<std::int64_t> no_connections_secs) {
    os::Lock lock(mutex_);
    Page::Snapshot snapshot{.job = job_events_,
                            .job_count = job_events_.count(),
                            .runner = runner_events_,
                            .runner_count = runner_events_.count(),
                            .states = states_,
                            .latest = stamps_.tell(),
                            .complete = complete_};
    lock.unlock();
    return [this, page = Page(std::move(snapshot), after), no_connections_secs](const PieceSink& sink) {
      if (page.write(sink, no_connections_secs)) handed_over(page);
    };
  }

  bool drained() const {
    const os::Lock lock(mutex_);
    return drained_;
  }

  std::optional<os::SteadyTime> last_handover() const {
    const os::Lock lock(mutex_);
    return last_handover_;
  }

  void reader_came() {
    const os::Lock lock(mutex_);
    ++readers_;
  }

  void reader_left() {
    const os::Lock lock(mutex_);
    --readers_;
    look_whether_drained();
  }

  JobLog& job_log() { return job_log_; }
  int quota_exceeded_fd() const { return quota_exceeded_event_.fd(); }
  bool quota_exceeded() const { return quota_exceeded_; }
  int drained_fd() const { return drained_event_.fd(); }
  spdlog::sink_ptr sink() { return sink_; }

 private:
  // The runner's own log as events. spdlog calls it on any thread that logs, under the sink's mutex; nothing here logs
  // with mutex_ held.
  class Sink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    explicit Sink(Implementation& logs) : logs_(logs) {}

   private:
    void sink_it_(const spdlog::details::log_msg& message) override {
      spdlog::memory_buf_t text;
      formatter_->format(message, text);
      logs_.say(std::string_view(text.data(), text.size()));
    }
    void flush_() override {}

    Implementation& logs_;
  };

  void say(std::string_view text) {
    std::vector<Piece> pieces;
    while (!text.empty()) {
      const std::string_view part = text.substr(0, text::character_boundary(text, kEventLimit));
      if (part.empty()) break;
      pieces.push_back({.text = std::string(part), .text_size = static_cast<std::uint32_t>(part.size())});
      text.remove_prefix(part.size());
    }
    const os::Lock lock(mutex_);
    // With no room even for this there is nowhere left to say so.
    runner_events_.add(stamps_.take(), pieces);
  }

  // On the text maker's thread.
  bool keep(const std::vector<Piece>& pieces) {
    const os::Lock lock(mutex_);
    if (quota_exceeded_) return true;
    std::uint64_t wanted = 0;
    for (const Piece& piece : pieces) wanted += piece.text_size;
    Quota after = quota_;
    const std::uint64_t granted = after.take(wanted, clock_.now());
    const bool kept = job_events_.add(stamps_.take(), granted == wanted ? pieces : beginning_of(pieces, granted));
    if (!kept && !after.exceeded()) return false;
    quota_ = after;
    if (after.exceeded()) {
      quota_exceeded_ = true;
      quota_exceeded_event_.set();
    }
    return true;
  }

  std::vector<Piece> beginning_of(const std::vector<Piece>& pieces, std::uint64_t size) const {
    std::vector<Piece> beginning;
    for (const Piece& piece : pieces) {
      if (piece.text_size <= size) {
        beginning.push_back(piece);
        size -= piece.text_size;
        continue;
      }
      Piece cut = piece;
      if (piece.raw) {
        cut.text.resize(piece.raw->size);
        cut.text.resize(job_log_.read(piece.raw->position, cut.text));
        drop_unseen(cut.text);
        cut.raw.reset();
      }
      cut.text.resize(text::character_boundary(cut.text, static_cast<std::size_t>(size)));
      cut.text_size = static_cast<std::uint32_t>(cut.text.size());
      if (!cut.text.empty()) beginning.push_back(std::move(cut));
      break;
    }
    return beginning;
  }

  // After a page went out whole.
  void handed_over(const Page& page) {
    const os::Lock lock(mutex_);
    if (!page.empty()) last_handover_ = clock_.now();
    if (page.last()) pulled_all_ = true;
    look_whether_drained();
  }

  void look_whether_drained() DSTACK_REQUIRES(mutex_) {
    if (drained_ || !complete_ || !pulled_all_ || readers_ > 0) return;
    drained_ = true;
    drained_event_.set();
  }

  os::Clock& clock_;
  Stamps stamps_;
  JobLog job_log_;
  // Holds the order of events and their times together.
  mutable os::Mutex mutex_;
  EventLog job_events_ DSTACK_GUARDED_BY(mutex_);
  EventLog runner_events_ DSTACK_GUARDED_BY(mutex_);
  std::vector<StampedState> states_ DSTACK_GUARDED_BY(mutex_);
  Quota quota_ DSTACK_GUARDED_BY(mutex_);
  std::atomic<bool> complete_ = false;
  bool pulled_all_ DSTACK_GUARDED_BY(mutex_) = false;
  bool drained_ DSTACK_GUARDED_BY(mutex_) = false;
  int readers_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::optional<os::SteadyTime> last_handover_ DSTACK_GUARDED_BY(mutex_);
  std::atomic<bool> quota_exceeded_ = false;

  os::Mutex finishing_;
  os::Event quota_exceeded_event_;
  os::Event drained_event_;
  std::shared_ptr<Sink> sink_;
  TextMaker text_maker_;  // last: its thread uses all of the above
};

Logs::Logs(const std::filesystem::path& folder, os::Clock& clock)
    : implementation_(std::make_unique<Implementation>(folder, clock)) {}
Logs::~Logs() = default;

void Logs::append(std::string_view output) noexcept { implementation_->append(output); }
void Logs::set_quota(std::uint64_t bytes_an_hour) { implementation_->set_quota(bytes_an_hour); }
int Logs::quota_exceeded_fd() const { return implementation_->quota_exceeded_fd(); }
bool Logs::quota_exceeded() const { return implementation_->quota_exceeded(); }
void Logs::add_state(const JobState& state) { implementation_->add_state(state); }
void Logs::end_output() { implementation_->end_output(); }
void Logs::finish(const JobState& end) { implementation_->finish(end); }
spdlog::sink_ptr Logs::runner_log_sink() { return implementation_->sink(); }
PageWriter Logs::pull(std::int64_t after, std::optional<std::int64_t> no_connections_secs) {
  return implementation_->pull(after, no_connections_secs);
}
bool Logs::drained() const { return implementation_->drained(); }
int Logs::drained_fd() const { return implementation_->drained_fd(); }
std::optional<os::SteadyTime> Logs::last_handover() const { return implementation_->last_handover(); }
JobLog& Logs::job_log() { return implementation_->job_log(); }
void Logs::reader_came() { implementation_->reader_came(); }
void Logs::reader_left() { implementation_->reader_left(); }

}  // namespace dstack::runner
