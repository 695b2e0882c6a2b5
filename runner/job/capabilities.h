#pragma once

namespace dstack::runner::job {

// The parts of root's power that a container may lack, as numbered by the kernel.
enum class Capability : unsigned { chown = 0, setgid = 6, setuid = 7, sys_resource = 24 };

// Whether this process has it now. A kernel that cannot say is taken to say no.
bool has_capability(Capability capability);

// Whether the job can run as somebody else: SETUID, SETGID and CHOWN.
bool can_change_user();
bool can_give_away_files();

}  // namespace dstack::runner::job
