#include "runner/logs/time_index.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/os/file.h"

namespace dstack::runner {

namespace {

constexpr std::int64_t kGranularity = 500;  // ms

}  // namespace

TimeIndex::TimeIndex(const std::filesystem::path& path)
    : file_(os::open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600)) {}

void TimeIndex::add(std::int64_t time, std::uint64_t position) noexcept {
  if (latest_ != INT64_MIN && time < latest_ + kGranularity) return;
  const os::Lock lock(mutex_);
  try {
    unsaved_.push_back({time, position});
  } catch (const std::bad_alloc&) {
    return;  // the next piece of output is taken instead
  }
  latest_ = time;
  while (!unsaved_.empty()) {
    const ssize_t written =
        ::pwrite(file_.get(), &unsaved_.front(), sizeof(Entry), static_cast<off_t>(saved_ * sizeof(Entry)));
    if (written != sizeof(Entry)) return;
    ++saved_;
    unsaved_.erase(unsaved_.begin());
  }
}

std::uint64_t TimeIndex::find(std::int64_t time, std::uint64_t end) const {
  const os::Lock lock(mutex_);
  std::uint64_t first = 0;  // the first entry later than `time`
  std::uint64_t last = saved_ + unsaved_.size();
  const std::uint64_t count = last;
  while (first < last) {
    const std::uint64_t middle = first + (last - first) / 2;
    if (read(middle).time <= time) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  if (first == 0) return 0;
  const Entry covering = read(first - 1);
  if (time < covering.time + kGranularity) return covering.position;
  // All that the entry stands for is older.
  return first < count ? read(first).position : end;
}

TimeIndex::Entry TimeIndex::read(std::uint64_t number) const {
  if (number >= saved_) return unsaved_[number - saved_];
  Entry entry{};
  // An entry that cannot be read stands for the beginning: rather too much output than too little.
  if (::pread(file_.get(), &entry, sizeof entry, static_cast<off_t>(number * sizeof entry)) != sizeof entry) return {};
  return entry;
}

}  // namespace dstack::runner
