#include "shim/dcgm/counters.h"

#include <array>
#include <format>
#include <string_view>

namespace dstack::shim::dcgm {

namespace {

struct Counter {
  std::string_view field;
  std::string_view type;
  std::string_view help;  // without commas, which separate the columns
};

constexpr std::array kCounters{
    // Utilisation, in percent, and memory.
    Counter{"DCGM_FI_DEV_GPU_UTIL", "gauge", "Share of time in which the GPU was busy (%)"},
    Counter{"DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Share of time in which memory was read or written (%)"},
    Counter{"DCGM_FI_DEV_ENC_UTIL", "gauge", "Use of the encoder (%)"},
    Counter{"DCGM_FI_DEV_DEC_UTIL", "gauge", "Use of the decoder (%)"},
    Counter{"DCGM_FI_DEV_FB_FREE", "gauge", "Free memory (MiB)"},
    Counter{"DCGM_FI_DEV_FB_USED", "gauge", "Used memory (MiB)"},
    // Shares of cycles, from 0 to 1.
    Counter{"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Share of cycles with a graphics or compute engine active"},
    Counter{"DCGM_FI_PROF_SM_ACTIVE", "gauge", "Share of cycles with a warp on a multiprocessor"},
    Counter{"DCGM_FI_PROF_SM_OCCUPANCY", "gauge", "Resident warps in relation to the most there can be"},
    Counter{"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "Share of cycles with the tensor pipe active"},
    Counter{"DCGM_FI_PROF_PIPE_FP64_ACTIVE", "gauge", "Share of cycles with the FP64 pipe active"},
    Counter{"DCGM_FI_PROF_PIPE_FP32_ACTIVE", "gauge", "Share of cycles with the FP32 pipe active"},
    Counter{"DCGM_FI_PROF_PIPE_FP16_ACTIVE", "gauge", "Share of cycles with the FP16 pipe active"},
    Counter{"DCGM_FI_PROF_PIPE_INT_ACTIVE", "gauge", "Share of cycles with the integer pipe active"},
    Counter{"DCGM_FI_PROF_DRAM_ACTIVE", "gauge", "Share of cycles in which memory moved data"},
    Counter{"DCGM_FI_PROF_PCIE_TX_BYTES", "counter", "Bytes sent over PCIe with their headers"},
    Counter{"DCGM_FI_PROF_PCIE_RX_BYTES", "counter", "Bytes received over PCIe with their headers"},
    // Clocks, temperatures, power.
    Counter{"DCGM_FI_DEV_SM_CLOCK", "gauge", "Clock of the multiprocessors (MHz)"},
    Counter{"DCGM_FI_DEV_MEM_CLOCK", "gauge", "Clock of the memory (MHz)"},
    Counter{"DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Temperature of the memory (C)"},
    Counter{"DCGM_FI_DEV_GPU_TEMP", "gauge", "Temperature of the GPU (C)"},
    Counter{"DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (W)"},
    Counter{"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Energy used since boot (mJ)"},
    // What went wrong.
    Counter{"DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "Transfers over PCIe that had to be repeated"},
    Counter{"DCGM_FI_DEV_XID_ERRORS", "gauge", "Number of the last XID error"},
    Counter{"DCGM_FI_DEV_POWER_VIOLATION", "counter", "Time slowed down for power (us)"},
    Counter{"DCGM_FI_DEV_THERMAL_VIOLATION", "counter", "Time slowed down for heat (us)"},
    Counter{"DCGM_FI_DEV_SYNC_BOOST_VIOLATION", "counter", "Time slowed down for sync boost (us)"},
    Counter{"DCGM_FI_DEV_BOARD_LIMIT_VIOLATION", "counter", "Time slowed down for the board's limits (us)"},
    Counter{"DCGM_FI_DEV_LOW_UTIL_VIOLATION", "counter", "Time slowed down for lack of work (us)"},
    Counter{"DCGM_FI_DEV_RELIABILITY_VIOLATION", "counter", "Time slowed down for reliability (us)"},
    Counter{"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "counter", "Single-bit errors since the driver was loaded"},
    Counter{"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "counter", "Double-bit errors since the driver was loaded"},
    Counter{"DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", "counter", "Single-bit errors in the GPU's life"},
    Counter{"DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "counter", "Double-bit errors in the GPU's life"},
    Counter{"DCGM_FI_DEV_RETIRED_SBE", "counter", "Pages retired for single-bit errors"},
    Counter{"DCGM_FI_DEV_RETIRED_DBE", "counter", "Pages retired for double-bit errors"},
    Counter{"DCGM_FI_DEV_RETIRED_PENDING", "counter", "Pages about to be retired"},
    Counter{"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", "Rows remapped for uncorrectable errors"},
    Counter{"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter", "Rows remapped for correctable errors"},
    Counter{"DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping rows has failed"},
    // NVLink.
    Counter{"DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "counter", "Checksum errors of NVLink flow control"},
    Counter{"DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "counter", "Checksum errors of NVLink data"},
    Counter{"DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "counter", "Transfers over NVLink that had to be repeated"},
    Counter{"DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "counter", "Recoveries of NVLink"},
    Counter{"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "counter", "Bandwidth used on all lanes of NVLink"},
    Counter{"DCGM_FI_DEV_NVLINK_BANDWIDTH_L0", "counter", "Bytes over lane 0 of NVLink with their headers"},
    Counter{"DCGM_FI_PROF_NVLINK_RX_BYTES", "counter", "Bytes received over NVLink with their headers"},
    Counter{"DCGM_FI_PROF_NVLINK_TX_BYTES", "counter", "Bytes sent over NVLink with their headers"},
};

}  // namespace

std::string counters_file() {
  std::string text;
  for (const Counter& counter : kCounters) text += std::format("{},{},{}\n", counter.field, counter.type, counter.help);
  return text;
}

}  // namespace dstack::shim::dcgm
