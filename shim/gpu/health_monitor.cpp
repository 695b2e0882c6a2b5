#include "shim/gpu/health_monitor.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "shim/gpu/driver_mismatch.h"
#include "shim/gpu/tool_output.h"
#include "shim/gpu/xid.h"

namespace dstack::shim::gpu {

namespace {

constexpr std::chrono::seconds kLogInterval{2};
constexpr std::chrono::seconds kToolInterval{60};
// In a row, since a tool may leave out a GPU that is being reset.
constexpr int kAbsentLimit = 2;
// The kernel's longest record, with what it appends to one.
constexpr std::size_t kRecordBytes = 8192;

// Where what is said of a GPU comes from.
std::string_view source_of(Vendor vendor) {
  if (vendor == Vendor::nvidia) return "nvidia-smi";
  return vendor == Vendor::intel ? "hl-smi" : "the amdgpu driver";
}

}  // namespace

HealthExamination::HealthExamination(SickGpus& sick, Vendor vendor, std::vector<Gpu> gpus, std::filesystem::path root,
                                     os::Clock& clock)
    : sick_(sick),
      vendor_(vendor),
      gpus_(std::move(gpus)),
      root_(std::move(root)),
      clock_(clock),
      remarks_(root_, clock) {}

void HealthExamination::read_kernel_log() {
  // A GPU's place on the bus is what the log names.
  if (ids_.empty()) return;
  if (!kernel_log_ && !kernel_log_missing_) {
    kernel_log_ = os::UniqueFd(::open((root_ / "dev/kmsg").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!kernel_log_) {
      kernel_log_missing_ = true;
      spdlog::warn("{}: errors of GPUs that only the kernel's log reports are not seen (CAP_SYSLOG?)",
                   os_error("open", "/dev/kmsg").what());
    }
  }
  if (!kernel_log_) return;
  std::array<char, kRecordBytes> buffer;
  while (true) {
    const ssize_t size = ::read(kernel_log_.get(), buffer.data(), buffer.size());
    // Records that were overwritten before they could be read; the next call goes on behind them.
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;
    if (size <= 0) return;
    for (const std::string_view line : text::split({buffer.data(), static_cast<std::size_t>(size)}, '\n'))
      take_record(line);
  }
}

void HealthExamination::take_record(std::string_view line) {
  const auto record = parse_kernel_record(line);
  if (!record || !record->is_kernels) return;
  const auto xid = parse_xid(record->text);
  if (!xid || record->number < sick_.seen_record()) return;
  sick_.set_seen_record(record->number + 1);
  const auto sickness = sickness_of_xid(xid->number);
  const auto id = ids_.find(xid->bus_id);
  if (!sickness || id == ids_.end()) {
    spdlog::info("The driver reports Xid {} of the GPU at {}", xid->number, printable(xid->bus_id));
    return;
  }
  sick_.set_aside(id->second, std::format("Xid {} ({})", xid->number, *sickness));
}

std::vector<GpuStatus> HealthExamination::status(const std::stop_token& stop) {
  constexpr const char* kFormat = "--format=csv,noheader,nounits";
  if (vendor_ == Vendor::amd) return read_amd_status(gpus_, root_);
  if (vendor_ == Vendor::intel) {
    return parse_gaudi_status(
        run_driver_tool({"hl-smi", "--query-aip=index,ecc.errors.uncorrected.volatile.total", kFormat}, clock_, stop)
            .text);
  }
  const std::string output =
      run_driver_tool({dstack::gpu::nvidia_tool(root_),
                       "--query-gpu=uuid,pci.bus_id,ecc.errors.uncorrected.volatile.total", kFormat},
                      clock_, stop)
          .text;
  remarks_.set_driver_mismatch(names_driver_mismatch(output));
  return parse_nvidia_status(output);
}

void HealthExamination::ask_tool(const std::stop_token& stop) {
  try {
    judge(status(stop));
  } catch (const std::exception& error) {
    if (!stop.stop_requested()) spdlog::warn("Ask {} whether the GPUs are well: {}", source_of(vendor_), error.what());
    return;
  }
  if (vendor_ == Vendor::nvidia && !remarks_.seen().driver_mismatch) remarks_.look(stop);
}

void HealthExamination::judge(const std::vector<GpuStatus>& all) {
  // A tool that names no GPU says nothing of each: then it is the driver that is broken.
  if (all.empty()) return;
  for (const GpuStatus& status : all) {
    if (status.bus_id.empty()) continue;
    const std::size_t function = status.bus_id.rfind('.');
    ids_.insert_or_assign(status.bus_id.substr(0, function), status.id);
  }
  for (const Gpu& gpu : gpus_) {
    const auto status = std::ranges::find(all, gpu.id, &GpuStatus::id);
    if (status == all.end()) {
      if (++absent_[gpu.id] >= kAbsentLimit)
        sick_.set_aside(gpu.id, std::format("lost: {} no longer names it", source_of(vendor_)));
      continue;
    }
    absent_[gpu.id] = 0;
    if (status->is_lost) sick_.set_aside(gpu.id, std::format("lost: {} says so", source_of(vendor_)));
    if (status->uncorrected <= sick_.seen_errors(gpu.id)) continue;
    sick_.set_seen_errors(gpu.id, status->uncorrected);
    sick_.set_aside(gpu.id, std::format("{} uncorrected memory errors (ECC)", status->uncorrected));
  }
}

HealthMonitor::HealthMonitor(SickGpus& sick, HostGpus& gpus, std::filesystem::path root, os::Clock& clock)
    : sick_(sick),
      gpus_(gpus),
      root_(std::move(root)),
      clock_(clock),
      tool_due_(clock.now()),
      thread_("watch the GPUs", kLogInterval, [this](const std::stop_token& stop) { look(stop); }, clock) {}

void HealthMonitor::look(const std::stop_token& stop) {
  const Inventory* inventory = gpus_.inventory();
  if (inventory == nullptr) return;
  const bool is_examined = inventory->vendor != Vendor::none && inventory->vendor != Vendor::tenstorrent;
  if (is_examined && !examination_) examination_.emplace(sick_, inventory->vendor, inventory->gpus, root_, clock_);
  // Without a log to read, what is left is done once a minute.
  thread_.set_interval(examination_ ? kLogInterval : kToolInterval);
  if (clock_.now() >= tool_due_) {
    if (examination_) {
      examination_->ask_tool(stop);
      gpus_.set_remarks(examination_->remarks());
    }
    look_at_driver();
    tool_due_ = clock_.now() + kToolInterval;
  }
  if (examination_) examination_->read_kernel_log();
}

void HealthMonitor::look_at_driver() {
  const auto mismatch = gpus_.driver_mismatch();
  if (mismatch && !driver_mismatch_logged_) spdlog::error("{}", *mismatch);
  driver_mismatch_logged_ = mismatch.has_value();
}

}  // namespace dstack::shim::gpu
