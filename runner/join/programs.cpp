#include "runner/join/programs.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <span>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/wait.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMostRestores = 3;
constexpr std::chrono::minutes kRestoreWindow = 10min;
constexpr std::chrono::seconds kProgramsPause = 60s;
constexpr std::chrono::seconds kShimPause = 2s;  // for the server's own restart of it

}  // namespace

bool same_content(const std::filesystem::path& one, const std::filesystem::path& other) {
  const os::UniqueFd first(::open(one.c_str(), O_RDONLY | O_CLOEXEC));
  const os::UniqueFd second(::open(other.c_str(), O_RDONLY | O_CLOEXEC));
  if (!first || !second) return false;
  std::array<char, 65536> left{};
  std::array<char, 65536> right{};
  for (off_t at = 0;;) {
    const ssize_t count = ::pread(first.get(), left.data(), left.size(), at);
    if (count < 0 || ::pread(second.get(), right.data(), right.size(), at) != count) return false;
    if (count == 0) return true;
    if (!std::ranges::equal(std::span(left).first(static_cast<std::size_t>(count)),
                            std::span(right).first(static_cast<std::size_t>(count)))) {
      return false;
    }
    at += count;
  }
}

bool put_in_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (same_content(from, to)) return false;
  os::make_directories(to.parent_path(), 0755);
  os::write_file_atomic(to, os::read_file(from, std::size_t{256} << 20), 0755);
  return true;
}

std::vector<std::string> keep_programs(const Places& places, const std::filesystem::path& own_program) {
  std::vector<std::string> changed;
  const auto keep = [&changed](const std::filesystem::path& from, const std::filesystem::path& to) {
    if (put_in_place(from, to)) changed.push_back(to);
  };
  keep(own_program, places.agent_program());
  // A server may have put its own release's there, which is its right: only one that is missing is made.
  if (!is_there(places.container_program())) keep(own_program, places.container_program());
  const std::filesystem::path shim = own_program.parent_path() / "dstack-shim";
  if (is_there(shim)) keep(shim, places.kept_shim());
  keep(places.agent_program(), places.programs() / "dstack-runner");
  if (is_there(places.kept_shim())) keep(places.kept_shim(), places.programs() / "dstack-shim");
  return changed;
}

ProgramKeeper::ProgramKeeper(Places places, Progress& progress, os::Clock& clock, std::function<bool()> restart_shim)
    : places_(std::move(places)), progress_(progress), clock_(clock), restart_shim_(std::move(restart_shim)) {}

void ProgramKeeper::run(const std::stop_token& stop) {
  const os::UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (watch) ::inotify_add_watch(watch.get(), places_.programs().c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE);
  std::chrono::seconds pause = kProgramsPause;
  while (!stop.stop_requested()) {
    std::array<pollfd, 1> waiting{{{.fd = watch.get(), .events = POLLIN, .revents = 0}}};
    if (look()) pause = restart_shim_() ? kProgramsPause : kShimPause;
    if (os::Wait(clock_, stop, clock_.now() + pause).until_ready(waiting, "the programs") ==
        os::Wait::Outcome::stopped) {
      return;
    }
    std::array<char, 4096> events{};
    bool changed = false;
    while (::read(watch.get(), events.data(), events.size()) > 0) changed = true;
    // Put back at once: before the server's own restart of the shim, so that nothing is restarted twice.
    if (changed) {
      look();
      pause = kShimPause;
      if (os::Wait(clock_, stop, clock_.now() + pause).until_ready(waiting, "the programs") ==
          os::Wait::Outcome::stopped) {
        return;
      }
    }
  }
}

bool ProgramKeeper::look() {
  if (gave_up_) return false;
  bool in_place = true;
  const std::array<std::pair<std::filesystem::path, const char*>, 2> programs = {
      {{places_.agent_program(), "dstack-runner"}, {places_.kept_shim(), "dstack-shim"}}};
  for (const auto& [kept, name] : programs) {
    const std::filesystem::path program = places_.programs() / name;
    if (!is_there(kept) || same_content(kept, program)) continue;
    if (!may_restore(name)) return false;
    try {
      put_in_place(kept, program);
      spdlog::info("{} was replaced or removed: put back", program.string());
    } catch (const std::exception& error) {
      spdlog::warn("{} cannot be put back: {}", program.string(), error.what());
      in_place = false;
    }
  }
  return in_place;
}

bool ProgramKeeper::may_restore(const std::string& name) {
  const os::SteadyTime now = clock_.now();
  std::vector<os::SteadyTime>& restored = restored_[name];
  std::erase_if(restored, [now](os::SteadyTime when) { return now - when > kRestoreWindow; });
  if (restored.size() < kMostRestores) {
    restored.push_back(now);
    return true;
  }
  gave_up_ = true;
  const std::string problem = std::format(
      "{} was replaced {} times within ten minutes: the programs are left as the server puts them, which takes ours "
      "for an "
      "older release",
      (places_.programs() / name).string(), kMostRestores + 1);
  spdlog::error("{}", problem);
  progress_.programs(problem);
  return false;
}

}  // namespace dstack::runner::join
