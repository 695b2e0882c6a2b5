#include "common/os/process_tree.h"

#include <algorithm>
#include <unordered_map>

namespace dstack::os {

std::vector<ProcessEntry> find_descendants(pid_t root, const std::vector<ProcessEntry>& processes,
                                           const std::vector<pid_t>& except) {
  std::unordered_map<pid_t, std::vector<ProcessEntry>> children;
  for (const ProcessEntry& process : processes) children[process.parent].push_back(process);
  std::vector<ProcessEntry> found;
  std::vector<pid_t> pending{root};
  while (!pending.empty()) {
    const pid_t parent = pending.back();
    pending.pop_back();
    // Taken out, so that a loop, which two moments seen as one may show, is not followed for ever.
    const auto family = children.extract(parent);
    if (family.empty()) continue;
    for (const ProcessEntry& child : family.mapped()) {
      if (std::ranges::contains(except, child.pid) || std::ranges::contains(except, child.group)) continue;
      found.push_back(child);
      pending.push_back(child.pid);
    }
  }
  return found;
}

}  // namespace dstack::os
