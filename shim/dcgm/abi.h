#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The part of libdcgm's binary interface that is used here, as NVIDIA's public headers dcgm_structs.h and dcgm_agent.h
// have it from 3.0 to 4.6. A struct begins with its own size and version, and the library refuses any other than its
// own.
namespace dstack::shim::dcgm::abi {

using Return = int;             // dcgmReturn_t; 0 is success
using Handle = std::uintptr_t;  // dcgmHandle_t
using Group = std::uintptr_t;   // dcgmGpuGrp_t

inline constexpr Group all_gpus = 0x7fffffff;        // DCGM_GROUP_ALL_GPUS
inline constexpr unsigned all_watches = 0xffffffff;  // DCGM_HEALTH_WATCH_ALL
inline constexpr int automatic = 1;                  // DCGM_OPERATION_MODE_AUTO

// MAKE_DCGM_VERSION
template <typename Struct>
constexpr unsigned version_of(unsigned number) {
  return static_cast<unsigned>(sizeof(Struct)) | number << 24U;
}

// dcgmIncidentInfo_t
struct Incident {
  unsigned system;
  unsigned health;
  std::array<char, 1024> message;
  unsigned code;
  unsigned entity_group_id;
  unsigned entity_id;
};
static_assert(sizeof(Incident) == 1044);

// dcgmHealthResponse_v4 and _v5, which differ in how many incidents they hold.
template <std::size_t capacity, unsigned number>
struct HealthResponse {
  unsigned version = version_of<HealthResponse>(number);
  unsigned overall_health = 0;
  unsigned incident_count = 0;
  std::array<Incident, capacity> incidents{};
};
using HealthResponse4 = HealthResponse<64, 4>;    // libdcgm.so.3
using HealthResponse5 = HealthResponse<1024, 5>;  // libdcgm.so.4
static_assert(sizeof(HealthResponse4) == 66828);
static_assert(sizeof(HealthResponse5) == 1069068);

// dcgmConnectV2Params_v2
struct ConnectParameters {
  unsigned version = version_of<ConnectParameters>(2);
  unsigned persist_after_disconnect = 0;
  unsigned timeout_ms = 0;
  unsigned address_is_unix_socket = 0;
};
static_assert(sizeof(ConnectParameters) == 16);

using Init = Return (*)();                                                         // dcgmInit
using StartEmbedded = Return (*)(int mode, Handle*);                               // dcgmStartEmbedded
using Connect = Return (*)(const char* address, const void* parameters, Handle*);  // dcgmConnect_v2
using HealthSet = Return (*)(Handle, Group, unsigned systems);                     // dcgmHealthSet
using HealthCheck = Return (*)(Handle, Group, void* response);                     // dcgmHealthCheck
using ErrorString = const char* (*)(Return);                                       // errorString

}  // namespace dstack::shim::dcgm::abi
