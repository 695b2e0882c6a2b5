#pragma once

namespace dstack::os {

// Of the calling thread, where processors are short. What a system does not allow is left.

// Other threads go first, from now on: for work that may lag behind. Ten steps of nice(1), about a tenth of the share.
void lower_priority_of_this_thread();

// When it wakes up it takes a processor at once from a thread that has had it for a moment, and gives it back soon: for
// little work that others wait for. Linux 6.12 and later; others do not know it.
void shorten_turns_of_this_thread();

}  // namespace dstack::os
