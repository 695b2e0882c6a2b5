// What the vendors' tools and the kernel's log say of a host's GPUs, as the shim reads it. The first byte says which of
// them it is.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "shim/dcgm/health_report.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/gpu_status.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tenstorrent.h"
#include "shim/gpu/xid.h"
#include "shim/top/gpu_usage.h"
#include "tests/fuzz/first_byte.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack::shim;
using dstack::test::planted_bug;

void read(char tool, std::string_view text) {
  switch (tool) {
    case 'n': {
      const gpu::Inventory found = gpu::parse_nvidia_smi(text, 16384);
      planted_bug(found.gpus.size() == 3 && found.gpus[0].id != found.gpus[2].id);
      break;
    }
    case 'a': gpu::parse_amd_smi(text, "/nonexistent"); break;
    case 'h': gpu::parse_hl_smi(text); break;
    case 't': gpu::parse_tt_smi(text); break;
    case 'i': gpu::parse_nvidia_information(text); break;
    case 's': gpu::parse_nvidia_status(text); break;
    case 'S': gpu::parse_gaudi_status(text); break;
    case 'o': gpu::parse_hot_gpus(text); break;
    case 'p': gpu::parse_gpu_processes(text); break;
    case 'u': top::parse_nvidia_usage(text); break;
    case 'g': top::parse_gaudi_usage(text); break;
    case 'k':
      if (const auto record = gpu::parse_kernel_record(text); record && record->is_kernels) {
        if (const auto xid = gpu::parse_xid(record->text)) gpu::sickness_of_xid(xid->number);
      }
      break;
    default: {
      const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
      if (auto report = dcgm::parse_report(value)) dcgm::for_server(*std::move(report));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return dstack::test::read_by_first_byte(data, size, read);
}
