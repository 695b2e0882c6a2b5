#include "shim/ci/container_start.h"

#include <format>
#include <iostream>

#include "common/text/number.h"
#include "shim/client/text.h"

namespace dstack::shim::ci {

namespace {

constexpr std::uint64_t kShmSizeWithGpus = std::uint64_t{1} << 30;
constexpr std::size_t kLastLines = 10;

}  // namespace

void say(const std::string& line) { std::cout << client::legible(line) << '\n' << std::flush; }

std::int64_t gpus_of(const ContainerFlags& flags) {
  return flags.gpus == "all" ? -1 : text::parse_number<std::int64_t>(flags.gpus).value_or(0);
}

std::uint64_t shm_size_of(const ContainerFlags& flags, std::int64_t gpus) {
  return flags.shm_size.value_or(gpus != 0 ? kShmSizeWithGpus : 0);
}

void add_volume_flags(ContainerRequest& request, const ContainerFlags& flags, const JobNames& names) {
  for (const std::string& given : flags.volumes) {
    const auto volume = parse_volume(given);
    if (!volume) continue;
    if (volume->is_path()) {
      request.container["mounts"].push_back(
          {{"source", volume->source}, {"target", volume->target}, {"read_only", volume->read_only}});
    } else {
      request.container["volumes"].push_back({{"name", names.volume("volume-" + volume->source)},
                                              {"target", volume->target},
                                              {"read_only", volume->read_only}});
    }
  }
}

client::TaskDetails await_container(Containers& containers, const std::string& role, const std::string& image,
                                    const std::stop_token& stop) {
  client::TaskDetails container;
  try {
    container = containers.await_start(role, stop);
  } catch (const NoImage& error) {
    throw NoImage(std::format("image {}: {}", image, error.what()));
  }
  // "…@sha256:0123" of an image whose registry has named it.
  say(std::format("Image {}: {}", image, container.digest.empty() ? "no digest, it was built here" : container.digest));
  return container;
}

void say_gpus(client::ShimApi& shim, const ContainerRequest& request, const client::TaskDetails& container) {
  if (request.gpus != 0 && container.task.gpu_ids.empty() && shim.has_gpus())
    throw Error(ErrorKind::unavailable, "all GPUs of this host are taken");
  std::string gpus;
  for (const std::string& gpu : container.task.gpu_ids) gpus += (gpus.empty() ? "" : ", ") + gpu;
  if (!gpus.empty()) say("GPUs: " + gpus);
}

std::string service_role(std::size_t index) { return std::format("service-{}", index + 1); }

std::string last_lines_of(Containers& containers, const std::string& role) {
  try {
    return containers.last_lines(role, kLastLines);
  } catch (const std::exception&) {
    return {};  // it has never run
  }
}

}  // namespace dstack::shim::ci
