#include "runner/logs/job_log.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::runner {

JobLog::Follower::Follower(JobLog& log) : log_(log) {
  const os::Lock lock(log_.mutex_);
  log_.followers_.push_back(this);
}

JobLog::Follower::~Follower() {
  const os::Lock lock(log_.mutex_);
  std::erase(log_.followers_, this);
  log_.update_nearest();
}

void JobLog::Follower::wait_for(std::uint64_t size) {
  const os::Lock lock(log_.mutex_);
  if (std::exchange(woken_, false)) event_.clear();
  wanted_ = size;
  log_.update_nearest();
  // append() changes the size first and looks at nearest_ then, this does it the other way round: one of the two sees
  // it.
  const std::uint64_t there = log_.ended() ? never : log_.size();
  if (there >= wanted_) log_.wake(there);
}

JobLog::JobLog(const std::filesystem::path& folder, Stamps& stamps)
    : stamps_(stamps),
      file_(os::open_file(folder / "job.log", O_RDWR | O_CREAT | O_TRUNC, 0600)),
      index_(folder / "job.times") {}

void JobLog::append(std::string_view output) noexcept {
  const std::uint64_t before = size_.load();
  std::uint64_t size = before;
  while (!output.empty()) {
    const ssize_t written = ::pwrite(file_.get(), output.data(), output.size(), static_cast<off_t>(size));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      log_loss(written < 0 ? errno : ENOSPC);
      lost_ += output.size();
      break;
    }
    size += static_cast<std::uint64_t>(written);
    output.remove_prefix(static_cast<std::size_t>(written));
  }
  if (size == before) return;
  index_.add(stamps_.now(), before);
  size_.store(size);
  if (size >= nearest_.load()) {
    const os::Lock lock(mutex_);
    wake(size);
  }
}

void JobLog::end() {
  ended_.store(true);
  const os::Lock lock(mutex_);
  wake(never);
}

std::size_t JobLog::read(std::uint64_t position, std::span<char> into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count =
        ::pread(file_.get(), into.data() + done, into.size() - done, static_cast<off_t>(position + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read", "the job's output");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void JobLog::log_loss(int code) noexcept {
  if (lost_ > 0) return;
  try {
    spdlog::error("The job's output cannot be kept: {}. The job goes on, and so does its log when there is room again",
                  describe_errno(code));
  } catch (...) {  // NOLINT: a logger that cannot log does not stop the job
  }
}

void JobLog::wake(std::uint64_t size) {
  for (Follower* follower : followers_) {
    if (follower->wanted_ == never || follower->wanted_ > size) continue;
    follower->wanted_ = never;
    follower->woken_ = true;
    follower->event_.set();
  }
  update_nearest();
}

void JobLog::update_nearest() {
  std::uint64_t nearest = never;
  for (const Follower* follower : followers_) nearest = std::min(nearest, follower->wanted_);
  nearest_.store(nearest);
}

}  // namespace dstack::runner
