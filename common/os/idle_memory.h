#pragma once

namespace dstack::os {

// For a program that has started, or has nothing to do for now: gives back free heap pages, and this program's code and
// constants, which the kernel brings back from its page cache in a few microseconds where they are needed again. A
// program that waits is some MB smaller.
void give_back_idle_memory();

}  // namespace dstack::os
