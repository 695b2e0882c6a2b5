#include "shim/task/output_times.h"

#include <unistd.h>

#include <cstring>

#include "common/error.h"
#include "shim/task/plain_file.h"

namespace dstack::shim::task {

namespace {

// As the runner writes it, on this machine's processor.
struct Record {
  std::int64_t time;
  std::uint64_t place;
  std::uint64_t text_before;
  std::uint32_t size;
  std::uint32_t raw_and_text_size;  // the lowest bit: the place is in the output
};
static_assert(sizeof(Record) == 32);

}  // namespace

std::vector<OutputTime> read_output_times(const std::filesystem::path& runner_folder, std::uint64_t first,
                                          std::size_t limit) {
  const auto index = open_plain_file(runner_folder / "job.index");
  if (!index) return {};
  std::vector<Record> records(limit);
  const ssize_t size = ::pread(index->get(), records.data(), records.size() * sizeof(Record),
                               static_cast<off_t>(first * sizeof(Record)));
  if (size < 0) throw os_error("read", printable((runner_folder / "job.index").string()));
  records.resize(static_cast<std::size_t>(size) / sizeof(Record));
  std::vector<OutputTime> times;
  times.reserve(records.size());
  for (const Record& record : records) {
    OutputTime& time = times.emplace_back(OutputTime{.time = record.time});
    if ((record.raw_and_text_size & 1U) == 0) continue;
    time.begin = record.place;
    time.end = record.place + record.size;
  }
  return times;
}

}  // namespace dstack::shim::task
