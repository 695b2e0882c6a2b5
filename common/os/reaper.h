#pragma once

namespace dstack::os {

// Makes orphans below this process its own children, wherever it is started; as process 1 it has them anyway. Throws
// Error.
void adopt_orphans();

// Waits for every adopted orphan that has ended; returns whether there was one. Never blocks.
//
// Call it on the main thread only: that is the one the kernel gives orphans to, and it takes this thread's children
// alone. The runner's own children are those of another thread (common/os/child_thread.h) and are left to os::Child.
bool reap_orphans();

}  // namespace dstack::os
