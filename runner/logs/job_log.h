#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "runner/logs/stamps.h"
#include "runner/logs/time_index.h"

namespace dstack::runner {

// The job's output as it wrote it, on disk. One thread appends; any number of others read what is there and are woken
// when there is more.
class JobLog {
 public:
  // Someone who is woken by growth. Not thread-safe; must not outlive the log.
  class Follower {
   public:
    explicit Follower(JobLog& log);
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower();

    // Readable when what was asked for last has come true.
    int fd() const { return event_.fd(); }
    // Asks once for fd() to become readable: when the log has grown to `size` bytes or has ended. Until then it is not.
    void wait_for(std::uint64_t size);

   private:
    friend class JobLog;
    JobLog& log_;
    os::Event event_;
    // Both under the log's mutex.
    std::uint64_t wanted_ = never;
    bool woken_ = false;  // event_ is set
  };

  // Starts empty, in `folder`. Throws Error.
  JobLog(const std::filesystem::path& folder, Stamps& stamps);
  JobLog(const JobLog&) = delete;
  JobLog& operator=(const JobLog&) = delete;

  // Does not throw: what finds no room is lost and counted, a first loss is logged in the runner log.
  void append(std::string_view output) noexcept;
  // There will be no more.
  void end();

  bool ended() const { return ended_.load(); }
  // All bytes below this can be read. Once ended() has been true, it does not change any more.
  std::uint64_t size() const { return size_.load(); }
  std::uint64_t lost() const { return lost_.load(); }

  int fd() const { return file_.get(); }
  // Fills `into` from `position`; less at the end. Throws Error when the disk fails.
  std::size_t read(std::uint64_t position, std::span<char> into) const;
  // Where output from that moment on begins, see TimeIndex::find.
  std::uint64_t position_at(std::int64_t time) const { return index_.find(time, size()); }

 private:
  static constexpr std::uint64_t never = UINT64_MAX;

  void log_loss(int code) noexcept;
  void wake(std::uint64_t size) DSTACK_REQUIRES(mutex_);
  void update_nearest() DSTACK_REQUIRES(mutex_);

  Stamps& stamps_;
  os::UniqueFd file_;
  TimeIndex index_;
  std::atomic<std::uint64_t> size_ = 0;
  std::atomic<std::uint64_t> lost_ = 0;
  std::atomic<bool> ended_ = false;
  // The least that a follower waits for, so that an append that wakes nobody takes no lock.
  std::atomic<std::uint64_t> nearest_ = never;
  os::Mutex mutex_;
  std::vector<Follower*> followers_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::runner
