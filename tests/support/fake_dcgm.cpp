// Stands in for libdcgm on a host with two GPUs: built as libdcgm.so.4 and libdcgm.so.3. What it does is told by
// FAKE_DCGM; what it was asked is written to the file FAKE_DCGM_LOG. While there is a file of that name with ".lost"
// behind it, the second GPU is lost. Its structs are numbers and offsets on purpose: they are the second opinion on
// what shim/dcgm/helper.c says.

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

#if FAKE_DCGM_MAJOR == 3
constexpr unsigned kResponseVersion = 66828U | 4U << 24U;
constexpr unsigned kResponseCapacity = 64;
#else
constexpr unsigned kResponseVersion = 1069068U | 5U << 24U;
constexpr unsigned kResponseCapacity = 1024;
#endif
constexpr unsigned kConnectVersion = 16U | 2U << 24U;
constexpr int kVersionMismatch = -12;
constexpr int kNotLoaded = -25;
constexpr std::uintptr_t kTheHandle = 0x7fffffff12345678;

bool is(const char* what) {
  const char* mode = std::getenv("FAKE_DCGM");
  return mode != nullptr && std::strcmp(mode, what) == 0;
}

void log(const char* text) {
  const char* path = std::getenv("FAKE_DCGM_LOG");
  if (path == nullptr) return;
  if (std::FILE* file = std::fopen(path, "a")) {
    std::fprintf(file, "%s\n", text);
    std::fclose(file);
  }
}

[[noreturn]] void hang() {
  while (true) ::pause();
}

void put(void* response, std::size_t offset, unsigned value) {
  std::memcpy(static_cast<char*>(response) + offset, &value, sizeof value);
}

void put_incident(void* response, unsigned index, unsigned health, const char* message) {
  const std::size_t start = 12 + std::size_t{1044} * index;
  put(response, start, 0x10);
  put(response, start + 4, health);
  std::strcpy(static_cast<char*>(response) + start + 8, message);
  put(response, start + 1032, 43);
  put(response, start + 1036, 1);
  put(response, start + 1040, index);
}

bool second_is_lost() {
  const char* path = std::getenv("FAKE_DCGM_LOG");
  char marker[4096];
  return path != nullptr && std::snprintf(marker, sizeof marker, "%s.lost", path) > 0 && ::access(marker, F_OK) == 0;
}

int checks = 0;

}  // namespace

extern "C" {

int dcgmInit() {
  log("init");
  return 0;
}

const char* errorString(int result) { return result == kNotLoaded ? "Host engine is not running" : "Some other error"; }

int dcgmStartEmbedded(int mode, std::uintptr_t* handle) {
  log(mode == 1 ? "embedded auto" : "embedded otherwise");
  if (is("hang-start")) hang();
  if (is("crash-start")) std::raise(SIGSEGV);
  if (is("no-start")) return kNotLoaded;
  *handle = kTheHandle;
  return 0;
}

int dcgmConnect_v2(const char* address, const void* parameters, std::uintptr_t* handle) {
  unsigned words[4];
  std::memcpy(words, parameters, sizeof words);
  char text[256];
  std::snprintf(text, sizeof text, "connect %s %u", address, words[3]);
  log(text);
  if (words[0] != kConnectVersion) return kVersionMismatch;
  *handle = kTheHandle;
  return 0;
}

int dcgmHealthSet(std::uintptr_t handle, std::uintptr_t group, unsigned systems) {
  log(handle == kTheHandle && group == 0x7fffffff && systems == 0xffffffff ? "watch all" : "watch something else");
  return 0;
}

// Its numbers of GPUs need not begin with 0.
int dcgmGetAllDevices(std::uintptr_t handle, unsigned* ids, int* count) {
  if (handle != kTheHandle) return -1;
  ids[0] = 0;
  ids[1] = 3;
  *count = 2;
  return 0;
}

int dcgmEntitiesGetLatestValues(std::uintptr_t handle, const unsigned* entity, unsigned count,
                                const unsigned short* field, unsigned field_count, unsigned flags, void* value) {
  if (handle != kTheHandle || count != 1 || field_count != 1 || *field != 54 || flags != 1 || entity[0] != 1) return -1;
  std::memset(value, 0, 4128);
  const unsigned short type = 's';
  std::memcpy(static_cast<char*>(value) + 14, &type, sizeof type);
  const char* uuid = std::getenv(entity[1] == 0 ? "FAKE_DCGM_FIRST" : "FAKE_DCGM_SECOND");
  std::strcpy(static_cast<char*>(value) + 32, uuid != nullptr ? uuid : entity[1] == 0 ? "GPU-0" : "GPU-3");
  return 0;
}

#if FAKE_DCGM_MAJOR == 4
int dcgmGetGpuStatus(std::uintptr_t handle, unsigned id, int* status) {
  if (handle != kTheHandle) return -1;
  *status = id == 3 && second_is_lost() ? 4 : 1;
  return 0;
}
#endif

int dcgmHealthCheck(std::uintptr_t handle, std::uintptr_t group, void* response) {
  unsigned version = 0;
  std::memcpy(&version, response, sizeof version);
  if (version != kResponseVersion) return kVersionMismatch;
  if (handle != kTheHandle || group != 0x7fffffff) return -1;
  log("check");
  ++checks;
  put(response, 4, 0);
  put(response, 8, 0);
  if (checks == 1) return 0;  // the first one only looks
  if (is("hang-check")) hang();
  if (is("crash-check")) std::raise(SIGSEGV);
  if (is("crash-once") && std::getenv("FAKE_DCGM_LOG") != nullptr) {
    // Only in the first process that gets here.
    char marker[4096];
    std::snprintf(marker, sizeof marker, "%s.crashed", std::getenv("FAKE_DCGM_LOG"));
    if (::access(marker, F_OK) != 0) {
      if (std::FILE* file = std::fopen(marker, "w")) std::fclose(file);
      std::raise(SIGSEGV);
    }
  }
  if (is("no-check")) return kNotLoaded;
  if (is("garbage")) std::printf("libdcgm says hello\n"), std::fflush(stdout);
  if (is("odd")) put(response, 4, 7);
  if (is("fail")) {
    put(response, 4, 20);
    put(response, 8, 3);
    put_incident(response, 0, 20, "Uncorrectable ECC error");
    put_incident(response, 1, 10, "A message that is not UTF-8: \xff");
    put_incident(response, 2, 15, "A health that nobody knows");
  }
  if (is("overflow")) {
    put(response, 4, 10);
    put(response, 8, 0xffffffff);
    for (unsigned i = 0; i < kResponseCapacity; ++i) put_incident(response, i, 10, "x");
  }
  if (is("off-bus")) {
    put(response, 4, 20);
    put(response, 8, 2);
    put_incident(response, 0, 20, "GPU 3 has fallen off the bus");
    put(response, 12 + 1032, 120);
    put(response, 12 + 1040, 3);
    // Of a switch.
    put_incident(response, 1, 20, "the same code of another kind of thing");
    put(response, 12 + 1044 + 1032, 120);
    put(response, 12 + 1044 + 1036, 3);
    put(response, 12 + 1044 + 1040, 0);
  }
  if (is("once") && checks == 2) {
    put(response, 4, 10);
    put(response, 8, 1);
    put_incident(response, 0, 10, "told once");
  }
  return 0;
}
}
