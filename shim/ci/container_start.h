#pragma once

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>

#include "shim/ci/container_flags.h"
#include "shim/ci/containers.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::ci {

// What a job's log gets to see of the start of its containers, and what drivers start them with alike.

// A line on stdout.
void say(const std::string& line);

// The flags as numbers: -1 for all GPUs that are free.
std::int64_t gpus_of(const ContainerFlags& flags);
// Of /dev/shm in bytes; 0: the engine's default.
std::uint64_t shm_size_of(const ContainerFlags& flags, std::int64_t gpus);

// What --volume asks for, into a request: the host's paths, and volumes that the containers of the job share.
void add_volume_flags(ContainerRequest& request, const ContainerFlags& flags, const JobNames& names);

// Waits for a container that was submitted, and says which image it has. NoImage names the image. `stop` ends the
// waiting (Error, cancelled).
client::TaskDetails await_container(Containers& containers, const std::string& role, const std::string& image,
                                    const std::stop_token& stop = {});

// Says which GPUs a container has; throws Error if it wanted some and all of the host's were taken.
void say_gpus(client::ShimApi& shim, const ContainerRequest& request, const client::TaskDetails& container);

// Of the first service of a job for 0: "service-1".
std::string service_role(std::size_t index);

// The last lines of what a container wrote, for the log of a job; "" for one that never ran.
std::string last_lines_of(Containers& containers, const std::string& role);

}  // namespace dstack::shim::ci
