// dcgm-health [ADDRESS]: looks at the GPUs' health through libdcgm, in a process that may hang or crash. The shim
// carries this program with it (helper.h) and it alone is linked with glibc, as libdcgm is.
//
// For each line on its standard input it writes one line of JSON: {"health": …, "lost": ["GPU-…"]} or {"error": "…"}. A
// failure that keeps it from working at all is written in the same way, once, before it exits with status 1. It exits
// with its input.
//
// Plain C, so that no C++ library has to be built for a second C library.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

// The part of libdcgm's binary interface that is used here, as NVIDIA's public headers dcgm_structs.h and dcgm_agent.h
// have it from 3.0 to 4.6. A struct begins with its own size and version, and the library refuses any other.
typedef uintptr_t Handle;  // dcgmHandle_t
typedef uintptr_t Group;   // dcgmGpuGrp_t

static const Group kAllGpus = 0x7fffffff;         // DCGM_GROUP_ALL_GPUS
static const unsigned kAllWatches = 0xffffffffU;  // DCGM_HEALTH_WATCH_ALL
static const int kAutomatic = 1;                  // DCGM_OPERATION_MODE_AUTO
static const unsigned kConnectLimitMs = 10000;
static const unsigned kGpuEntity = 1;             // DCGM_FE_GPU
static const unsigned short kUuidField = 54;      // DCGM_FI_DEV_UUID
static const unsigned short kStringType = 's';    // DCGM_FT_STRING
static const unsigned kFromTheDriver = 1;         // DCGM_FV_FLAG_LIVE_DATA
static const int kLost = 4;                       // DcgmEntityStatusLost: set by DCGM 4.0 and later
static const unsigned kHasFallenOffTheBus = 120;  // DCGM_FR_FALLEN_OFF_BUS: reported by DCGM 4.4.1 and later
enum { kMostGpus = 32, kUuidLength = 256 };       // DCGM_MAX_NUM_DEVICES, DCGM_MAX_STR_LENGTH

// MAKE_DCGM_VERSION
#define VERSION_OF(type, number) ((unsigned)sizeof(type) | (unsigned)(number) << 24U)

// dcgmIncidentInfo_t
typedef struct {
  unsigned system;
  unsigned health;
  char message[1024];
  unsigned code;
  unsigned entity_group_id;
  unsigned entity_id;
} Incident;
_Static_assert(sizeof(Incident) == 1044, "dcgmIncidentInfo_t");

// dcgmHealthResponse_v4 (libdcgm.so.3) and _v5 (libdcgm.so.4), which differ in how many incidents they hold.
enum { kIncidents4 = 64, kIncidents5 = 1024 };
typedef struct {
  unsigned version;
  unsigned overall_health;
  unsigned incident_count;
  Incident incidents[kIncidents4];
} HealthResponse4;
typedef struct {
  unsigned version;
  unsigned overall_health;
  unsigned incident_count;
  Incident incidents[kIncidents5];
} HealthResponse5;
_Static_assert(sizeof(HealthResponse4) == 66828, "dcgmHealthResponse_v4");
_Static_assert(sizeof(HealthResponse5) == 1069068, "dcgmHealthResponse_v5");

// dcgmConnectV2Params_v2
typedef struct {
  unsigned version;
  unsigned persist_after_disconnect;
  unsigned timeout_ms;
  unsigned address_is_unix_socket;
} ConnectParameters;
_Static_assert(sizeof(ConnectParameters) == 16, "dcgmConnectV2Params_v2");

// dcgmGroupEntityPair_t
typedef struct {
  unsigned group_id;
  unsigned id;
} Entity;
_Static_assert(sizeof(Entity) == 8, "dcgmGroupEntityPair_t");

// dcgmFieldValue_v2
typedef struct {
  unsigned version;
  unsigned entity_group_id;
  unsigned entity_id;
  unsigned short field;
  unsigned short type;
  int status;
  unsigned unused;
  int64_t time;
  union {
    int64_t number;
    char text[kUuidLength];
    char bytes[4096];
  } value;
} FieldValue;
_Static_assert(sizeof(FieldValue) == 4128, "dcgmFieldValue_v2");

typedef struct {
  unsigned id;  // DCGM's
  char uuid[kUuidLength];
} Gpu;

// What was found in the library; 0 is success for all that return an int.
typedef struct {
  void* library;
  unsigned response_version;
  unsigned most_incidents;
  const char* (*error_string)(int);
  int (*init)(void);
  int (*start_embedded)(int mode, Handle*);
  int (*connect)(const char* address, const void* parameters, Handle*);
  int (*health_set)(Handle, Group, unsigned systems);
  int (*health_check)(Handle, Group, void* response);
  // Null where the library does not have them; then no GPU is known to be lost.
  int (*all_devices)(Handle, unsigned* ids, int* count);
  int (*latest_values)(Handle, const Entity*, unsigned count, const unsigned short* fields, unsigned field_count,
                       unsigned flags, FieldValue*);
  int (*gpu_status)(Handle, unsigned id, int* status);
  Handle handle;
  Gpu gpus[kMostGpus];
  int gpu_count;
} Dcgm;

// A JSON string. Bytes beyond ASCII are written as they are: the reader checks them.
static void write_text(const char* text, size_t limit) {
  putchar('"');
  for (size_t i = 0; i < limit && text[i] != '\0'; ++i) {
    const unsigned char byte = (unsigned char)text[i];
    if (byte == '"' || byte == '\\') {
      printf("\\%c", byte);
    } else if (byte < 0x20) {
      printf("\\u%04x", byte);
    } else {
      putchar(byte);
    }
  }
  putchar('"');
}

__attribute__((format(printf, 1, 2))) static int write_error(const char* format, ...) {
  char message[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  printf("{\"error\":");
  write_text(message, sizeof message);
  printf("}\n");
  fflush(stdout);
  return 0;
}

// Returns whether it succeeded; writes the error if not.
static int succeeded(const Dcgm* dcgm, int result, const char* attempt) {
  if (result == 0) return 1;
  const char* const text = dcgm->error_string(result);
  return write_error("%s: %s (%d)", attempt, text != NULL ? text : "unknown error", result);
}

static int open_library(Dcgm* dcgm) {
  // Global, since it opens further parts of itself that want its symbols.
  dcgm->library = dlopen("libdcgm.so.4", RTLD_LAZY | RTLD_GLOBAL);
  dcgm->response_version = VERSION_OF(HealthResponse5, 5);
  dcgm->most_incidents = kIncidents5;
  if (dcgm->library == NULL) {
    dcgm->library = dlopen("libdcgm.so.3", RTLD_LAZY | RTLD_GLOBAL);
    dcgm->response_version = VERSION_OF(HealthResponse4, 4);
    dcgm->most_incidents = kIncidents4;
  }
  if (dcgm->library == NULL) return write_error("neither libdcgm.so.4 nor libdcgm.so.3 is installed");

  const struct {
    const char* name;
    void* place;
    int may_be_missing;
  } symbols[] = {
      {"errorString", &dcgm->error_string, 0},         {"dcgmInit", &dcgm->init, 0},
      {"dcgmStartEmbedded", &dcgm->start_embedded, 0}, {"dcgmConnect_v2", &dcgm->connect, 0},
      {"dcgmHealthSet", &dcgm->health_set, 0},         {"dcgmHealthCheck", &dcgm->health_check, 0},
      {"dcgmGetAllDevices", &dcgm->all_devices, 1},    {"dcgmEntitiesGetLatestValues", &dcgm->latest_values, 1},
      {"dcgmGetGpuStatus", &dcgm->gpu_status, 1},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; ++i) {
    void* const symbol = dlsym(dcgm->library, symbols[i].name);
    if (symbol == NULL && !symbols[i].may_be_missing) return write_error("libdcgm has no %s", symbols[i].name);
    memcpy(symbols[i].place, &symbol, sizeof symbol);
  }
  return 1;
}

// Starts a host engine in this process, or connects to the one at `address` (a host with or without a port, or the path
// of a socket), and switches all watches on.
static int start(Dcgm* dcgm, const char* address) {
  if (!succeeded(dcgm, dcgm->init(), "set up DCGM")) return 0;
  if (address[0] == '\0') {
    if (!succeeded(dcgm, dcgm->start_embedded(kAutomatic, &dcgm->handle), "start DCGM's host engine")) return 0;
  } else {
    const ConnectParameters parameters = {.version = VERSION_OF(ConnectParameters, 2),
                                          .timeout_ms = kConnectLimitMs,
                                          .address_is_unix_socket = address[0] == '/'};
    char attempt[512];
    snprintf(attempt, sizeof attempt, "connect to DCGM's host engine at %s", address);
    if (!succeeded(dcgm, dcgm->connect(address, &parameters, &dcgm->handle), attempt)) return 0;
  }
  return succeeded(dcgm, dcgm->health_set(dcgm->handle, kAllGpus, kAllWatches), "switch DCGM's watches on");
}

// Learns the UUIDs of the GPUs while they can be asked: a lost one is known by DCGM's number alone.
static void learn_uuids(Dcgm* dcgm) {
  if (dcgm->all_devices == NULL || dcgm->latest_values == NULL) return;
  unsigned ids[kMostGpus];
  int count = 0;
  if (dcgm->all_devices(dcgm->handle, ids, &count) != 0) return;
  for (int i = 0; i < count && i < kMostGpus; ++i) {
    const Entity entity = {.group_id = kGpuEntity, .id = ids[i]};
    FieldValue value;
    memset(&value, 0, sizeof value);
    if (dcgm->latest_values(dcgm->handle, &entity, 1, &kUuidField, 1, kFromTheDriver, &value) != 0) continue;
    if (value.status != 0 || value.type != kStringType || strncmp(value.value.text, "GPU-", 4) != 0) continue;
    Gpu* const gpu = &dcgm->gpus[dcgm->gpu_count++];
    gpu->id = ids[i];
    memcpy(gpu->uuid, value.value.text, sizeof gpu->uuid - 1);
  }
}

static int is_lost(const Dcgm* dcgm, const Gpu* gpu, const HealthResponse5* response, unsigned incident_count) {
  int status = 0;
  if (dcgm->gpu_status != NULL && dcgm->gpu_status(dcgm->handle, gpu->id, &status) == 0 && status == kLost) return 1;
  for (unsigned i = 0; i < incident_count; ++i) {
    const Incident* const incident = &response->incidents[i];
    if (incident->code == kHasFallenOffTheBus && incident->entity_group_id == kGpuEntity &&
        incident->entity_id == gpu->id)
      return 1;
  }
  return 0;
}

// What has been found since the last call.
static int check(const Dcgm* dcgm, HealthResponse5* response) {
  memset(response, 0, sizeof *response);
  response->version = dcgm->response_version;
  return succeeded(dcgm, dcgm->health_check(dcgm->handle, kAllGpus, response), "ask DCGM for the GPUs' health");
}

static void write_health(const Dcgm* dcgm, const HealthResponse5* response) {
  const unsigned count =
      response->incident_count < dcgm->most_incidents ? response->incident_count : dcgm->most_incidents;
  printf("{\"health\":{\"incidents\":[");
  for (unsigned i = 0; i < count; ++i) {
    const Incident* const incident = &response->incidents[i];
    printf("%s{\"system\":%d,\"health\":%d,\"error_message\":", i == 0 ? "" : ",", (int)incident->system,
           (int)incident->health);
    write_text(incident->message, sizeof incident->message);
    printf(",\"error_code\":%d,\"entity_group_id\":%d,\"entity_id\":%d}", (int)incident->code,
           (int)incident->entity_group_id, (int)incident->entity_id);
  }
  printf("],\"overall_health\":%d},\"lost\":[", (int)response->overall_health);
  const char* separator = "";
  for (int i = 0; i < dcgm->gpu_count; ++i) {
    if (!is_lost(dcgm, &dcgm->gpus[i], response, count)) continue;
    printf("%s", separator);
    write_text(dcgm->gpus[i].uuid, sizeof dcgm->gpus[i].uuid);
    separator = ",";
  }
  printf("]}\n");
  fflush(stdout);
}

int main(int argc, char** argv) {
  // It was started by the number of a descriptor, which would be its name else.
  prctl(PR_SET_NAME, "dcgm-health");
  static Dcgm dcgm;
  HealthResponse5* const response = malloc(sizeof *response);  // a megabyte; large enough for either version
  if (response == NULL) return 1;
  // The first look only sets up what later ones are compared with.
  if (!open_library(&dcgm) || !start(&dcgm, argc > 1 ? argv[1] : "") || !check(&dcgm, response)) _exit(1);
  learn_uuids(&dcgm);
  char* line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) >= 0) {
    if (check(&dcgm, response)) write_health(&dcgm, response);
  }
  // Past the library's own clean-up, which may hang.
  _exit(0);
}
