#pragma once

namespace dstack::runner::job {

// Makes orphans below this process its own children, wherever it is started; as process 1 it has them anyway. Throws
// Error.
void adopt_orphans();

// Waits for every adopted orphan that has ended; returns whether there was one. Never blocks.
//
// Call it on the main thread only: that is the one the kernel gives orphans to, and it takes this thread's children
// alone. So it cannot snatch a child from another thread that waits for it (the job's process, a tool that
// os::run_command started), as long as the main thread starts none of its own.
bool reap_orphans();

}  // namespace dstack::runner::job
