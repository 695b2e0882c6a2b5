#pragma once

namespace dstack::os {

// This process writes no core file from here on, also not to a program that collects them: its memory holds passwords,
// tokens and keys. Call it at most once, before the first thread starts.
void forbid_core_files();

// For a child between fork and exec: the limit of core files that this process was started with. A job's core files are
// the job's.
void restore_core_file_limit();

}  // namespace dstack::os
