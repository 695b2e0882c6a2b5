#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/docker/container_spec.h"
#include "shim/gpu/inventory.h"

// The Container Device Interface: files on the host say what a container needs for a device. From 25 on Docker can use
// NVIDIA's GPUs by it, without NVIDIA's runtime or hook.
namespace dstack::shim::gpu {

// The devices that the files in /etc/cdi and /var/run/cdi below `root` define, as "nvidia.com/gpu=0".
std::vector<std::string> cdi_devices(const std::filesystem::path& root);

// Whether an engine that said this has no hook for NVIDIA's GPUs, or does not know them by these names.
bool needs_cdi(std::string_view reason);

// Asks for the same GPUs by CDI, under the names that are there: by UUID, or else by index, which is the place in
// `gpus`. False, and nothing is changed, if a GPU has no name or is asked for by CDI already.
bool use_cdi(docker::GpuSettings& settings, const std::vector<Gpu>& gpus, const std::vector<std::string>& available);

// The id of one of `gpus` that a CDI name stands for; the text itself if it is not such a name.
std::string id_of_cdi_device(std::string_view name, const std::vector<Gpu>& gpus);

}  // namespace dstack::shim::gpu
