#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace dstack::shim::ci {

inline constexpr int kDefaultShimPort = 10998;

// What `--volume SRC:PATH[:ro]` asks for.
struct VolumeFlag {
  std::string source;  // a path on the host, or the name of a volume of the job
  std::string target;  // in the container
  bool read_only = false;

  bool is_path() const { return source.starts_with('/'); }
};

// The flags about a job's containers, which the launcher and the drivers take alike.
struct ContainerFlags {
  std::string image = "ubuntu:24.04";
  std::string helper_image;                  // empty: GitLab's own for the version of the agent
  std::string gpus;                          // a number or "all"; empty: not given
  double cpus = 0;                           // 0: no limit
  std::uint64_t memory = 0;                  // bytes; 0: no limit
  std::optional<std::uint64_t> shm_size;     // bytes
  std::vector<std::string> volumes;          // as given; parse_volume() accepts each
  std::vector<std::string> allowed_volumes;  // host folders, absolute and normal
  bool privileged = false;
  bool host_jobs = false;
  std::optional<int> shim_port;  // named by the flag or a variable
  std::filesystem::path agent;   // empty: not given

  int port() const { return shim_port.value_or(kDefaultShimPort); }
};

// Nothing if it is not of that form.
std::optional<VolumeFlag> parse_volume(std::string_view text);

// Adds the flags to a command; `flags` must outlive the parsing.
void add_container_flags(CLI::App& command, ContainerFlags& flags);

// After the parsing: gives every flag of the command that is not on its command line the value of its variable, which
// is CML_RUNNER_ and the flag's name; an empty variable counts as unset. Throws CLI::ValidationError that names the
// variable. A flag that may be repeated gets one value. The port is also read from DSTACK_SHIM_HTTP_PORT.
void read_variables(CLI::App& command);

// The arguments that give another command these flags. The port is always among them.
std::vector<std::string> to_arguments(const ContainerFlags& flags);

}  // namespace dstack::shim::ci
