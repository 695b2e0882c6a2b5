#include "shim/host_end/cloud.h"

#include <utility>

#include "common/gpu/vendor.h"
#include "common/os/file.h"
#include "common/text/trim.h"
#include "shim/host_end/aws.h"
#include "shim/host_end/azure.h"
#include "shim/host_end/gcp.h"

namespace dstack::shim::host_end {

namespace {

namespace fs = std::filesystem;

// Of every virtual machine in Azure. The maker's name alone is that of any machine under Hyper-V.
constexpr const char* kAzureAssetTag = "7783-7084-3265-9085-8269-3286-77";

}  // namespace

std::optional<Cloud> find_cloud(const fs::path& root) {
  const auto says = [&root](const char* name) {
    return std::string(text::trim(os::try_read_file(root / "sys/class/dmi/id" / name).value_or("")));
  };
  // The second one is that of older instances, under Xen.
  if (says("sys_vendor") == "Amazon EC2" || says("bios_version").ends_with(".amazon")) return Cloud::aws;
  if (says("product_name") == "Google Compute Engine") return Cloud::gcp;
  if (says("chassis_asset_tag") == kAzureAssetTag) return Cloud::azure;
  return std::nullopt;
}

std::string_view name_of(Cloud cloud) {
  switch (cloud) {
    case Cloud::aws: return "AWS";
    case Cloud::azure: return "Azure";
    case Cloud::gcp: return "Google Cloud";
  }
  std::unreachable();
}

std::unique_ptr<NoticeSource> make_notice_source(Cloud cloud, std::string metadata_url, const fs::path& root,
                                                 os::Clock& clock) {
  MetadataClient client(std::move(metadata_url), clock);
  switch (cloud) {
    case Cloud::aws: return std::make_unique<Aws>(std::move(client), clock);
    case Cloud::azure: return std::make_unique<Azure>(std::move(client));
    case Cloud::gcp: {
      const bool has_gpus = dstack::gpu::detect_vendor(root) != dstack::gpu::Vendor::none;
      return std::make_unique<Gcp>(std::move(client), has_gpus, clock);
    }
  }
  std::unreachable();
}

}  // namespace dstack::shim::host_end
