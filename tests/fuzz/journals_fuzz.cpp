// What a shim, and a launcher of CI runners, finds on disk after a power cut, or what a container left where it may
// write: read, or refused with an Error. The first byte says which file it is.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "shim/ci/job_note.h"
#include "shim/ci/journal.h"
#include "shim/images/image_list.h"
#include "shim/task/output_times.h"
#include "shim/task/task_store.h"
#include "tests/fuzz/first_byte.h"
#include "tests/fuzz/planted.h"
#include "tests/fuzz/scratch_folder.h"

namespace {

using namespace dstack;
using test::planted_bug;

void read(char kind, std::string_view text) {
  static const test::ScratchFolder folder;
  const auto& path = folder.path();
  switch (kind) {
    case 't': {
      folder.write("job-1/task.json", text);
      const shim::task::TaskState state = shim::task::read_journal(path / "job-1");
      planted_bug(state.gpu_ids && state.gpu_ids->size() == 3);
      break;
    }
    case 'l':
      folder.write("launcher.json", text);
      shim::ci::read_journal(path);
      break;
    case 'i':
      folder.write("images.json", text);
      shim::images::read_image_list(path / "images.json");
      break;
    case 'n':
      folder.write(std::filesystem::relative(shim::ci::job_note_file(path, "5"), path), text);
      shim::ci::read_job_note(path, "5");
      break;
    default:
      folder.write("job.index", text);
      for (const shim::task::OutputTime& time : shim::task::read_output_times(path, 1, 8)) {
        if (time.begin && time.end - *time.begin > UINT32_MAX) std::abort();
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return dstack::test::read_by_first_byte(data, size, read);
}
