#include "shim/ci/github/agent_folder.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <format>
#include <system_error>
#include <vector>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "common/text/number.h"
#include "common/text/shell_words.h"
#include "common/text/split.h"
#include "shim/ci/github/hook_script.h"
#include "shim/ci/github/job_folder.h"
#include "shim/ci/own_program.h"
#include "shim/ci/own_shim.h"

namespace dstack::shim::ci::github {

namespace {

constexpr std::chrono::minutes kUnpackLimit{10};
constexpr mode_t kFolderMode = 0700;
constexpr const char* kOwnerName = "owner";
constexpr mode_t kScriptMode = 0700;

std::string note_script(const std::filesystem::path& note) {
  return std::format(
      "#!/bin/bash\n# Tells the launcher which job this is.\nnote={}\n"
      "printf '%s\\n' \"$GITHUB_RUN_ID\" \"$GITHUB_JOB\" \"$GITHUB_REPOSITORY\" >\"$note.new\"\n"
      "mv -f \"$note.new\" \"$note\"\n",
      text::shell_quoted(note.string()));
}

// What a registration and jobs leave in an agent's folder; an agent that was just unpacked has nothing of that kind.
bool is_left_by_use(const std::string& name) { return name.starts_with('.') || name.starts_with('_'); }

void copy_entry(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::filesystem::is_symlink(from)) {
    const std::filesystem::path target = std::filesystem::read_symlink(from);
    if (target.is_relative()) return std::filesystem::create_symlink(target, to);
    // An absolute link would lead back to the given folder.
  }
  if (!std::filesystem::is_directory(from)) {
    std::filesystem::copy_file(from, to);
    return;
  }
  std::filesystem::create_directory(to);
  for (const std::string& name : os::list_directory(from).names) copy_entry(from / name, to / name);
}

void unpack(const std::filesystem::path& archive, const std::filesystem::path& folder, const std::stop_token& stop) {
  const auto result =
      os::run_command({.arguments = {"tar", "-xzof", archive, "-C", folder}, .limit = kUnpackLimit}, stop);
  if (result.end == os::CommandResult::End::cancelled)
    throw Error(ErrorKind::cancelled, std::format("unpack {}: cancelled", archive.string()));
  if (!result.succeeded())
    throw Error(ErrorKind::invalid, std::format("unpack {}: tar {}", archive.string(), result.describe()));
}

void remove_containers(const std::filesystem::path& state, int shim_port) {
  if (!shim_answers(shim_port)) return;
  try {
    remove_job_containers(state, shim_port);
  } catch (const std::exception& error) {
    spdlog::warn("The containers of the job in {}: {}", state.string(), error.what());
  }
}

bool is_repository(std::string_view text) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
  return text.contains('/') && text.find_first_not_of(kLetters) == std::string_view::npos;
}

}  // namespace

AgentFolder::AgentFolder(const std::filesystem::path& parent) {
  os::make_directories(parent, kFolderMode);
  // A name that no job knows, and that was not used before: what could not be removed is in no other agent's way.
  std::string name = parent / "XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw os_error("make a folder in", parent.string());
  path_ = name;
  os::make_directories(program(), kFolderMode);
  os::make_directories(state(), kFolderMode);
  owner_ = os::open_file(state() / kOwnerName, O_RDWR | O_CREAT, 0600);
  if (::flock(owner_.get(), LOCK_EX | LOCK_NB) != 0) throw os_error("lock", (state() / kOwnerName).string());
}

void AgentFolder::put_program(const std::filesystem::path& agent, const std::stop_token& stop) {
  if (!std::filesystem::is_directory(agent)) {
    unpack(agent, program(), stop);
  } else {
    try {
      for (const std::string& name : os::list_directory(agent).names) {
        if (!is_left_by_use(name)) copy_entry(agent / name, program() / name);
      }
    } catch (const std::filesystem::filesystem_error& error) {
      throw Error(ErrorKind::unavailable, std::format("copy the agent: {}", error.what()));
    }
  }
  if (::access((program() / "run.sh").c_str(), X_OK) != 0)
    throw Error(ErrorKind::invalid, std::format("{} is not an Actions agent: it has no run.sh", agent.string()));
}

void AgentFolder::write_hooks(const ContainerFlags& flags) {
  os::replace_file(container_hook(), hook_script(own_program(), state(), flags), kScriptMode);
  // Either notes the job: the first may have been cut off.
  os::replace_file(started_hook(), note_script(job_note()), kScriptMode);
  os::replace_file(completed_hook(), note_script(job_note()), kScriptMode);
}

void AgentFolder::remove(int shim_port) {
  remove_containers(state(), shim_port);
  owner_.reset();
  try {
    os::remove_tree(path_.parent_path(), path_.filename());
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

std::optional<CiJob> read_job(const std::filesystem::path& note, const std::string& runner) {
  const auto written = os::try_read_file(note);
  if (!written) return std::nullopt;
  const auto lines = text::split_lines(*written);
  if (lines.size() != 3 || !text::is_digits(lines[0]) || lines[1].empty() || !is_repository(lines[2]))
    return std::nullopt;
  return CiJob{.id = std::string(lines[1]),
               .project = std::string(lines[2]),
               .pipeline = std::string(lines[0]),
               .runner = runner};
}

std::filesystem::path check_agent(const std::filesystem::path& given) {
  std::filesystem::path path = std::filesystem::absolute(given).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) {
    if (std::filesystem::exists(path / "run.sh", failure)) return path;
    throw Error(ErrorKind::not_found,
                std::format("--agent: {} is not an Actions agent: it has no run.sh", path.string()));
  }
  if (!std::filesystem::is_regular_file(path, failure))
    throw Error(ErrorKind::not_found, std::format("--agent: {} is neither a folder nor a file", path.string()));
  if (!path.string().ends_with(".tar.gz") && !path.string().ends_with(".tgz"))
    throw Error(ErrorKind::invalid,
                std::format("--agent: {} is neither the Actions agent's folder nor its .tar.gz", path.string()));
  if (::access(path.c_str(), R_OK) != 0) throw os_error("--agent: read", path.string());
  return path;
}

void remove_containers_of_agents(const std::filesystem::path& agents, int shim_port) {
  for (const std::string& name : os::list_directory(agents).names)
    remove_containers(agents / name / "state", shim_port);
}

}  // namespace dstack::shim::ci::github
