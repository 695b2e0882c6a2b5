#pragma once

namespace dstack::os {

// Gives back what only the start needed: free heap pages, and this program's code and constants, which the kernel
// brings back from its page cache in a few microseconds where they are needed again. A program that waits is some MB
// smaller.
void give_back_startup_memory();

}  // namespace dstack::os
