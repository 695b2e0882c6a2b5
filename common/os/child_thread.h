#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

// The one thread of this process that all children are forked on. It lives as long as the process, so a child that asks
// to be killed with its parent is not killed with some thread of it, and a child belongs to no thread that may end. The
// same thread goes on waiting for the children that could not be killed. Everything here may be called from any thread.
namespace dstack::os {

// Forks; the child runs `in_child`, which makes system calls only and does not return, with every signal blocked.
// The child is one of started_children() until it has been reaped. Throws Error (exhausted) if no process or thread
// can be made.
pid_t fork_child(const std::function<void()>& in_child);

// The child's wait status (see wait(2)) if it has ended; it is forgotten then. Never blocks.
std::optional<int> reap_child(pid_t child);

// For a killed child that does not end, from an uninterruptible wait in the kernel: it is reaped when it has ended.
// `key` names what it is a copy of.
void reap_later(pid_t child, std::string key);

// For what is left of the killed process group of a child that was reaped: it is remembered until it is gone.
void watch_group(pid_t group, std::string key);

// A child with this key that was killed and has not ended, or whose process group has not a second later.
std::optional<pid_t> find_unkillable(const std::string& key);

// Every child that was started and not reaped, those that cannot be killed included, and every group that is watched.
std::vector<pid_t> started_children();

}  // namespace dstack::os
