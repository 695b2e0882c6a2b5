#include "shim/doctor/gpu_checks.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/gpu/vendor.h"
#include "common/os/child.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "shim/doctor/engine_checks.h"
#include "shim/gpu/cdi.h"
#include "shim/gpu/driver_mismatch.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"

namespace dstack::shim::doctor {

namespace {

namespace fs = std::filesystem;
using dstack::gpu::Vendor;

constexpr const char* kNvidiaDriverRemedy =
    "install NVIDIA's driver for this kernel and restart the machine; `nvidia-smi` should then list the GPUs";

std::string word_of(const fs::path& file) {
  std::string word = os::try_read_file(file).value_or("");
  while (!word.empty() && (word.back() == '\n' || word.back() == ' ')) word.pop_back();
  return word;
}

std::size_t count_entries(const fs::path& folder, const std::function<bool(const std::string&)>& counts) {
  std::size_t count = 0;
  for (const std::string& name : os::list_directory(folder).names) count += counts(name);
  return count;
}

// Display and 3D controllers of NVIDIA's that the bus knows of, with or without a driver.
std::size_t nvidia_on_the_bus(const fs::path& root) {
  const fs::path devices = root / "sys/bus/pci/devices";
  return count_entries(devices, [&devices](const std::string& name) {
    return word_of(devices / name / "vendor") == "0x10de" && word_of(devices / name / "class").starts_with("0x03");
  });
}

Finding judge(const shim::gpu::Inventory& inventory) {
  if (inventory.gpus.empty()) return broken("the driver's tool lists no GPU", kNvidiaDriverRemedy);
  return ok(std::format("{} × {}, driver {}", inventory.gpus.size(), shim::gpu::name_of_gpus(inventory),
                        inventory.driver_version.empty() ? "unknown" : inventory.driver_version));
}

Finding check_nvidia(const Host& host) {
  constexpr const char* restart = "restart the host, so that the kernel loads the driver that is installed";
  if (const auto mismatch = shim::gpu::find_driver_mismatch(host.root)) return broken(*mismatch, restart);
  try {
    return judge(shim::gpu::detect_nvidia(host.root, *host.clock));
  } catch (const std::exception& error) {
    if (shim::gpu::names_driver_mismatch(error.what()))
      return broken(std::format("{}: {}", shim::gpu::kDriverMismatch, error.what()), restart);
    return broken(std::format("NVIDIA, but its GPUs cannot be listed: {}", error.what()), kNvidiaDriverRemedy);
  }
}

// Docker needs NVIDIA's hook, which it looks for by this very name when it starts, or from 25 on CDI.
Finding check_nvidia_toolkit(const Host& host) {
  if (const auto hook = os::find_program("nvidia-container-runtime-hook"))
    return ok(std::format("NVIDIA's, {}", *hook));
  const auto is_gpu = [](const std::string& device) { return device.starts_with("nvidia.com/gpu="); };
  docker::EngineInfo info;
  try {
    info = ask_engine(host);
  } catch (const std::exception&) {
    // Docker's own check says why.
  }
  if (const auto known = std::ranges::count_if(info.cdi_devices, is_gpu); known > 0)
    return ok(std::format("CDI: Docker knows {} devices nvidia.com/gpu", known));
  if (std::ranges::contains(info.runtimes, "nvidia")) return ok("Docker has the runtime nvidia");
  const auto defined = std::ranges::count_if(shim::gpu::cdi_devices(host.root), is_gpu);
  if (defined > 0) return ok(std::format("CDI: {} devices nvidia.com/gpu are defined", defined));
  if (const auto hook = os::find_program("nvidia-cdi-hook")) {
    return warning(std::format("{} is installed, but no GPU is defined for CDI", *hook),
                   "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, then `systemctl restart docker`");
  }
  return broken("NVIDIA's is not installed: neither nvidia-container-runtime-hook nor nvidia-cdi-hook is on PATH",
                "install the package nvidia-container-toolkit, then `systemctl restart docker`");
}

Finding check_intel(const Host& host) {
  try {
    return judge(shim::gpu::detect_intel(*host.clock));
  } catch (const std::exception& error) {
    return broken(std::format("accelerators in /dev/accel, but they cannot be listed: {}", error.what()),
                  "Gaudi: install Habana's driver and firmware tools; `hl-smi` should then list the accelerators. "
                  "Other devices there are not supported");
  }
}

Finding check_amd(const Host& host) {
  const std::size_t nodes = count_entries(host.root / "dev/dri/by-path", [](const std::string& name) {
    return name.starts_with("pci-") && name.ends_with("-render");
  });
  const std::string driver = word_of(host.root / "sys/module/amdgpu/version");
  if (nodes == 0) {
    return broken("AMD's /dev/kfd is there, and no render node in /dev/dri/by-path",
                  "load the driver (`modprobe amdgpu`) and look what `dmesg` says of it");
  }
  return ok(std::format("AMD, {} render nodes, driver {}", nodes, driver.empty() ? "of the kernel" : driver));
}

Finding check_tenstorrent(const Host& host) {
  const std::size_t boards = count_entries(host.root / "dev/tenstorrent", [](const std::string&) { return true; });
  const std::string driver = word_of(host.root / "sys/module/tenstorrent/version");
  if (boards == 0) return broken("/dev/tenstorrent is empty", "load the driver: `modprobe tenstorrent`");
  return ok(std::format("Tenstorrent, {} device nodes, driver {}", boards, driver.empty() ? "unknown" : driver));
}

}  // namespace

Finding check_gpu(const Host& host) {
  switch (dstack::gpu::detect_vendor(host.root)) {
    case Vendor::nvidia: return check_nvidia(host);
    case Vendor::intel: return check_intel(host);
    case Vendor::amd: return check_amd(host);
    case Vendor::tenstorrent: return check_tenstorrent(host);
    case Vendor::none: break;
  }
  if (const std::size_t count = nvidia_on_the_bus(host.root); count > 0) {
    return broken(std::format("{} NVIDIA GPUs on the PCI bus, and no driver (/dev/nvidiactl)", count),
                  kNvidiaDriverRemedy);
  }
  return ok("none");
}

Finding check_container_toolkit(const Host& host) {
  switch (dstack::gpu::detect_vendor(host.root)) {
    case Vendor::nvidia: return check_nvidia_toolkit(host);
    case Vendor::intel:
      if (std::ranges::contains(ask_engine(host).runtimes, "habana")) return ok("Docker has the runtime habana");
      return broken("Docker has no runtime habana",
                    "install habanalabs-container-runtime, name it in /etc/docker/daemon.json and restart Docker");
    case Vendor::amd:
    case Vendor::tenstorrent: return ok("none needed");
    case Vendor::none: break;
  }
  return ok("none needed without a GPU");
}

}  // namespace dstack::shim::doctor
