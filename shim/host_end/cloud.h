#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "shim/host_end/notice.h"

namespace dstack::shim::host_end {

enum class Cloud { aws, azure, gcp };

// Whose virtual machine this is, by what the firmware says (/sys/class/dmi/id below `root`); nothing for any other.
std::optional<Cloud> find_cloud(const std::filesystem::path& root = "/");

// "AWS", "Azure", "Google Cloud"
std::string_view name_of(Cloud cloud);

// A cloud's metadata service, asked for a notice of interruption. For one thread.
class NoticeSource {
 public:
  virtual ~NoticeSource() = default;
  // Nothing if there is none. Takes a few seconds at most. Throws Error if the service does not answer, or refuses:
  // then nothing is known.
  virtual std::optional<Notice> ask(const std::stop_token& stop) = 0;
};

// Where all three clouds have theirs.
inline constexpr const char* kMetadataUrl = "http://169.254.169.254";

// `root` is where /dev is.
std::unique_ptr<NoticeSource> make_notice_source(Cloud cloud, std::string metadata_url = kMetadataUrl,
                                                 const std::filesystem::path& root = "/",
                                                 os::Clock& clock = os::system_clock());

}  // namespace dstack::shim::host_end
