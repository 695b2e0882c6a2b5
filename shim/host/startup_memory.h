#pragma once

namespace dstack::shim::host {

// Gives back what only the start needed: free heap pages, and this program's code and constants, which the kernel
// brings back from its page cache in a few microseconds where they are needed again. A daemon that waits is some 4 MB
// smaller.
void give_back_startup_memory();

}  // namespace dstack::shim::host
