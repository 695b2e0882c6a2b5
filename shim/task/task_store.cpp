#include "shim/task/task_store.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "shim/docker/container_spec.h"
#include "shim/task/launcher.h"
#include "shim/task/plain_file.h"

namespace dstack::shim::task {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// No container has such a name.
constexpr std::string_view kAside = ".left-";
constexpr const char* kJournalName = "task.json";
// The last flushed one, beside one that is not.
constexpr const char* kFlushedName = "task.json.flushed";
// Of a folder whose journal cannot be read. No container is called so: their names end in eight hexadecimal digits.
constexpr std::string_view kUnreadable = ".unreadable";
constexpr std::size_t kJournalLimit = std::size_t{16} << 20;

std::string serialise(const TaskState& state) {
  json ports;
  if (state.ports) {
    ports = json::array();
    for (const docker::PortMapping& port : *state.ports)
      ports.push_back({{"host", port.host}, {"container", port.container}, {"protocol", port.protocol}});
  }
  json ending;
  if (state.ending) ending = {{"reason", state.ending->reason}, {"message", state.ending->message}};
  const json journal = {{"config", write_config(state.config)},
                        {"container_name", state.container_name},
                        {"submitted_at", state.submitted_at ? json(*state.submitted_at) : json()},
                        {"status", name_of(state.status)},
                        {"container_id", state.container_id},
                        {"ports", std::move(ports)},
                        {"gpu_ids", state.gpu_ids ? json(*state.gpu_ids) : json()},
                        {"holds_keys", state.holds_keys},
                        {"holds_volumes", state.holds_volumes},
                        {"gpus_given_back", state.gpus_given_back},
                        {"create_sent", state.create_sent},
                        {"boot_id", state.boot_id},
                        {"given_back", state.given_back},
                        {"ending", std::move(ending)},
                        {"removing", state.removing},
                        {"runner_token", state.runner_token.reveal()},
                        {"ended_in", state.ended_in ? json(name_of(*state.ended_in)) : json()},
                        {"start_failure", state.start_failure},
                        {"exit_code", state.exit_code ? json(*state.exit_code) : json()},
                        {"out_of_memory", state.out_of_memory}};
  // Last words of a container may be any bytes.
  return dstack::json::dump(journal, 1);
}

TaskState parse(const std::string& text) {
  const json journal = dstack::json::parse_object(text);
  const dstack::json::ObjectReader reader(journal);
  TaskState state;
  reader.object("config", [&](const dstack::json::ObjectReader& config) { state.config = read_config(config); });
  state.container_name = reader.string("container_name");
  state.submitted_at = reader.optional_integer("submitted_at");
  const auto status = parse_status(reader.string("status"));
  if (!status) throw Error(ErrorKind::invalid, "status: unknown value");
  state.status = *status;
  state.container_id = reader.string("container_id");
  if (reader.has("ports")) {
    state.ports.emplace();
    reader.objects("ports", [&](const dstack::json::ObjectReader& port) {
      state.ports->push_back({.host = static_cast<int>(port.integer("host", 0, 0, 65535)),
                              .container = static_cast<int>(port.integer("container", 0, 0, 65535)),
                              .protocol = port.string("protocol", "tcp")});
    });
  }
  if (reader.has("gpu_ids")) state.gpu_ids = reader.strings("gpu_ids");
  state.holds_keys = reader.boolean("holds_keys");
  state.holds_volumes = reader.boolean("holds_volumes");
  state.gpus_given_back = reader.boolean("gpus_given_back");
  // Versions that did not write it may have sent one.
  state.create_sent = reader.boolean("create_sent", true);
  state.boot_id = reader.string("boot_id");
  state.given_back = reader.boolean("given_back");
  reader.object("ending", [&](const dstack::json::ObjectReader& ending) {
    state.ending = Ending{.reason = ending.string("reason"), .message = ending.string("message")};
  });
  state.removing = reader.boolean("removing");
  state.runner_token = Secret(reader.string("runner_token"));
  state.ended_in = parse_status(reader.string("ended_in"));
  state.start_failure = reader.string("start_failure");
  if (reader.has("exit_code")) state.exit_code = static_cast<int>(reader.integer("exit_code", 0, INT32_MIN, INT32_MAX));
  state.out_of_memory = reader.boolean("out_of_memory");
  return state;
}

// Opening a FIFO would wait for a writer.
std::string read_regular_file(const fs::path& path) {
  const os::UniqueFd file = os::open_file(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw os_error("look at", path.string());
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::invalid, path.string() + " is not a regular file");
  return os::read_rest(file.get(), path.native(), kJournalLimit);
}

}  // namespace

bool has_journal(const fs::path& folder) {
  std::error_code failure;
  const bool has_one = fs::exists(fs::symlink_status(folder / kJournalName, failure)) &&
                       fs::file_size(folder / kJournalName, failure) > 0;
  return has_one || fs::exists(fs::symlink_status(folder / kFlushedName, failure));
}

TaskState read_journal(const fs::path& folder) {
  const auto read_one = [&folder](const char* name) {
    TaskState state = parse(read_regular_file(folder / name));
    if (state.container_name != folder.filename())
      throw Error(ErrorKind::invalid, "container_name: differs from its folder's name");
    return state;
  };
  try {
    return read_one(kJournalName);
  } catch (const std::exception& error) {
    if (!fs::exists(fs::symlink_status(folder / kFlushedName))) throw;
    spdlog::warn("the journal of {} is damaged (power loss?), using the last flushed copy: {}",
                 printable(folder.string()), error.what());
    return read_one(kFlushedName);
  }
}

bool is_runner_folder(const fs::path& path, const fs::path& runners) {
  if (path.lexically_normal().parent_path() == runners) return true;
  std::error_code failure;
  const fs::path theirs = fs::weakly_canonical(path.parent_path(), failure);
  if (failure) return false;
  const fs::path ours = fs::weakly_canonical(runners, failure);
  return !failure && theirs == ours;
}

TaskStore::TaskStore(const fs::path& home) : tasks_(home / "tasks"), runners_(home / "runners") {
  os::make_directories(tasks_, 0700);
  os::make_directories(runners_, 0755);
  home_ = fs::canonical(home);
}

void TaskStore::add(const TaskState& state) const {
  const fs::path folder = tasks_ / state.container_name;
  {
    const os::Lock lock(mutex_);
    if (half_made_.contains(state.container_name)) remove_half_made(state.container_name);
  }
  if (::mkdir(folder.c_str(), 0700) != 0) throw os_error("create folder", folder.string());
  try {
    // Flushed together, since until then nothing depends on any of it.
    os::replace_file(folder / kJournalName, serialise(state), 0600);
    const os::UniqueFd journal = os::open_file(folder / kJournalName, O_RDONLY);
    if (::fsync(journal.get()) != 0) throw os_error("flush", (folder / kJournalName).string());
    os::sync_directory(folder);
    os::sync_directory(tasks_);
  } catch (...) {
    const os::Lock lock(mutex_);
    half_made_.insert(state.container_name);
    try {
      remove_half_made(state.container_name);
    } catch (const std::exception& error) {
      spdlog::warn("{}; tried again later", error.what());
    }
    throw;
  }
}

void TaskStore::remove_half_made(const std::string& container_name) const {
  os::remove_tree(tasks_, container_name);
  half_made_.erase(container_name);
}

void TaskStore::remove_half_made() const {
  const os::Lock lock(mutex_);
  // A copy: what is removed leaves the set.
  for (const std::string& name : std::set(half_made_)) {
    try {
      remove_half_made(name);
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }
}

void TaskStore::save(const TaskState& state, Flush flush) const {
  const fs::path folder = tasks_ / state.container_name;
  if (flush == Flush::now) {
    os::write_file_atomic(folder / kJournalName, serialise(state), 0600);
    os::remove_file(folder / kFlushedName);
    return;
  }
  if (::link((folder / kJournalName).c_str(), (folder / kFlushedName).c_str()) != 0 && errno != EEXIST) {
    throw os_error("link", (folder / kFlushedName).string());
  }
  os::replace_file(folder / kJournalName, serialise(state), 0600);
}

std::vector<TaskState> TaskStore::load() const {
  std::vector<TaskState> states;
  std::vector<std::string> folders;
  std::error_code failure;
  for (fs::directory_iterator entry(tasks_, failure), end; !failure && entry != end; entry.increment(failure))
    folders.push_back(entry->path().filename().string());
  if (failure) spdlog::error("read folder {}: {}", printable(tasks_.string()), failure.message());
  for (const std::string& name : folders) {
    if (name.ends_with(kUnreadable)) continue;
    const fs::path folder = tasks_ / name;
    try {
      if (has_journal(folder)) {
        states.push_back(read_journal(folder));
        continue;
      }
      spdlog::info("Removed folder {}: it has no journal (an add or a remove was interrupted)",
                   printable(folder.string()));
      os::remove_tree(tasks_, name);
    } catch (const std::exception& error) {
      spdlog::error("Folder {}: its task is not restored: {}", printable(folder.string()), error.what());
      set_aside(name);
    }
  }
  return states;
}

void TaskStore::set_aside(const std::string& container_name) const {
  try {
    const std::string aside = container_name + std::string(kUnreadable);
    os::remove_tree(tasks_, aside);
    std::error_code failure;
    fs::rename(tasks_ / container_name, tasks_ / aside, failure);
    if (failure) throw Error(ErrorKind::internal, failure.message());
    spdlog::warn("Folder {} is kept as {}", printable(container_name), printable(aside));
  } catch (const std::exception& error) {
    spdlog::error("Set folder {} aside: {}", printable(container_name), error.what());
  }
}

void TaskStore::make_runner_folder(const std::string& container_name) const {
  os::remove_tree(runners_, container_name);
  const fs::path folder = runner_folder(container_name);
  if (::mkdir(folder.c_str(), 0700) != 0) throw os_error("create folder", folder.string());
}

std::vector<std::string> TaskStore::runner_folders() const {
  std::vector<std::string> names = os::list_folder(runners_);
  std::erase_if(names, [](const std::string& name) { return name.starts_with(kAside); });
  return names;
}

void TaskStore::set_runner_folder_aside(const std::string& container_name) const {
  const fs::path aside = runners_ / (std::string(kAside) + container_name);
  if (::rename(runner_folder(container_name).c_str(), aside.c_str()) != 0)
    throw os_error("set aside", printable(runner_folder(container_name).string()));
}

void TaskStore::remove_folders_set_aside() const {
  for (const std::string& name : os::list_folder(runners_)) {
    if (name.starts_with(kAside)) os::remove_tree(runners_, name);
  }
}

void TaskStore::remove(const std::string& container_name) const {
  os::remove_tree(runners_, container_name);
  // The journal goes last in its folder: as long as anything is left, the next start knows what to finish.
  os::remove_file(tasks_ / container_name / "pull.log");
  os::remove_file(tasks_ / container_name / kFlushedName);
  os::remove_file(tasks_ / container_name / kJournalName);
  os::remove_tree(tasks_, container_name);
}

std::optional<std::string> TaskStore::read_output(const std::string& container_name, std::uint64_t offset,
                                                  std::size_t limit) const {
  const fs::path path = runner_folder(container_name) / "job.log";
  const auto file = open_plain_file(path);
  if (!file) return std::nullopt;
  struct stat entry{};
  if (::fstat(file->get(), &entry) != 0) throw os_error("look at", printable(path.string()));
  const auto length = static_cast<std::uint64_t>(entry.st_size);
  std::string output(std::min<std::uint64_t>(limit, length > offset ? length - offset : 0), '\0');
  std::size_t size = 0;
  while (size < output.size()) {
    const ssize_t count =
        ::pread(file->get(), output.data() + size, output.size() - size, static_cast<off_t>(offset + size));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read", printable(path.string()));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  output.resize(size);
  return output;
}

bool TaskStore::owns(const std::vector<docker::ContainerMount>& mounts,
                     const std::map<std::string, std::string, std::less<>>& labels) const {
  if (owns(fs::path(runner_folder_of(mounts)))) return true;
  const auto label = labels.find(docker::kHomeLabel);
  return label != labels.end() && label->second == home_;
}

}  // namespace dstack::shim::task
