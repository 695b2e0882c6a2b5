#include "shim/client/copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <filesystem>
#include <format>
#include <iostream>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/files/archive.h"
#include "common/files/pack.h"
#include "common/log/log.h"
#include "shim/client/byte_pipe.h"
#include "shim/client/copy_paths.h"
#include "shim/client/engine_access.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

namespace fs = std::filesystem;
using docker::EngineClient;

// More links than this are a circle, as for the kernel.
constexpr int kLinkLimit = 40;

std::string container_of(ShimApi& shim, const std::string& wanted) {
  const std::vector<TaskEntry> tasks = shim.tasks();
  const TaskEntry& task = find_task(tasks, wanted);
  if (!task.container_id.empty()) return task.container_id;
  throw Error(ErrorKind::conflict,
              std::format("task {} has no container: it is {}", legible(task.id), legible(task.status)));
}

// With the endings that say what is meant of it.
std::string absolute_in_container(const std::string& path) { return path.starts_with('/') ? path : "/" + path; }

PathKind kind_of(const std::optional<docker::ContainerPath>& path) {
  if (!path) return PathKind::missing;
  return path->is_folder ? PathKind::folder : PathKind::other;
}

PathKind kind_of(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return PathKind::missing;
  return S_ISDIR(status.st_mode) ? PathKind::folder : PathKind::other;
}

// This machine's path with the links at its end followed, also to what does not exist yet.
std::string followed(std::string path) {
  struct stat status{};
  for (int links = 0; ::lstat(std::string(without_ending(path)).c_str(), &status) == 0 && S_ISLNK(status.st_mode);) {
    if (++links > kLinkLimit) throw os_error("follow", printable(path), ELOOP);
    const fs::path link(without_ending(path));
    const fs::path target = fs::read_symlink(link);
    path = (target.is_absolute() ? target : link.parent_path() / target).string() +
           std::string(std::string_view(path).substr(link.native().size()));
  }
  return path;
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return std::format("{:.3g}{}", value, kUnits[unit]);
}

// What is copied, with what has to be counted and reported of it.
class Copying {
 public:
  Copying(EngineClient& engine, std::string container, const CopyOptions& options)
      : engine_(engine), container_(std::move(container)), options_(options) {}

  void from_container(const std::string& given, const CopySide& destination) {
    const std::string source = absolute_in_container(given);
    std::string path(without_ending(source));
    auto status = engine_.stat_path(container_, path);
    const bool follow = options_.follow_link || source != path;
    if (status && status->is_link && follow) {
      path = status->link_target;
      status = engine_.stat_path(container_, path);
    }
    if (!status) throw no_such_path(source);
    if (destination.is_stream()) return read(path, [this](std::string_view bytes) { return put_out(bytes); });
    const std::string target = followed(destination.path);
    const Landing landing = landing_of(source, kind_of(status), target, kind_of(fs::path(without_ending(target))));
    unpack(path, landing);
    report(given_path(destination.path));
  }

  void to_container(const CopySide& source, const std::string& given) {
    const std::string destination = absolute_in_container(given);
    std::string path(without_ending(destination));
    auto status = engine_.stat_path(container_, path);
    if (status && status->is_link) {
      path = status->link_target;
      status = engine_.stat_path(container_, path);
    }
    if (source.is_stream()) {
      if (kind_of(status) != PathKind::folder) {
        throw Error(ErrorKind::invalid,
                    std::format("destination \"{}:{}\" must be a directory", container_, printable(destination)));
      }
      return engine_.write_archive(container_, path, [](std::span<char> into) { return read_input(into); });
    }
    const bool follow = options_.follow_link || names_folder(source.path);
    const fs::path local = follow ? fs::path(followed(source.path)) : fs::path(without_ending(source.path));
    const PathKind kind = kind_of(fs::path(without_ending(local.native())));
    if (kind == PathKind::missing) throw os_error("look at", printable(source.path), ENOENT);
    const std::string ending = destination.substr(without_ending(destination).size());
    const Landing landing = landing_of(named_source(source.path), kind, path + ending, kind_of(status));
    pack(without_ending(local.native()), landing);
    report(std::format("{}:{}", legible(options_.destination.substr(0, options_.destination.find(':'))), given));
  }

  int status() const { return left_out_ ? exit_status::kFailed : exit_status::kDone; }

 private:
  Error no_such_path(const std::string& path) const {
    return {ErrorKind::not_found,
            std::format("could not find the file {} in container {}", printable(path), container_)};
  }

  static std::string given_path(const std::string& path) { return fs::absolute(path).lexically_normal().string(); }

  // A folder that is named by "..", or by where this process is, has another name there.
  static std::string named_source(const std::string& path) {
    if (last_component(path) != "..") return path;
    return fs::canonical(path).string();
  }

  static std::size_t read_input(std::span<char> into) {
    while (true) {
      const ssize_t count = ::read(STDIN_FILENO, into.data(), into.size());
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) throw os_error("read", "standard input");
    }
  }

  bool put_out(std::string_view bytes) {
    if (write_answer(bytes)) return true;
    left_out_ = true;
    return false;
  }

  void read(const std::string& path, const BytePipe::Write& write) {
    engine_.read_archive(container_, path, [&](std::string_view bytes) {
      size_ += bytes.size();
      return write(bytes);
    });
  }

  // What the container holds may be meant to harm: see files::Tree.
  void unpack(const std::string& path, const Landing& landing) {
    files::Tree tree(landing.folder, std::nullopt);
    const bool whole = path == "/";  // its entries have no root of their own
    if (whole && !landing.name.empty()) tree.make_folder(landing.name, 0755);
    BytePipe pipe([&](const BytePipe::Write& write) { read(whole ? "/." : path, write); });
    try {
      if (whole) {
        files::Tree root(fs::path(landing.folder) / landing.name, std::nullopt);
        files::unpack(pipe.fd(), root, unpacking(files::Layout::as_named, ""));
      } else {
        files::unpack(pipe.fd(), tree, unpacking(files::Layout::one_root, landing.name));
      }
    } catch (const std::exception&) {
      pipe.finish();  // the engine's own failure says more than an archive that ends early
      throw;
    }
    // Behind an archive's end there may be padding.
    std::array<char, 4096> rest;
    while (pipe.read(rest) > 0) continue;
  }

  files::Unpacking unpacking(files::Layout layout, const std::string& place) {
    return {.layout = layout,
            .place = place,
            .keep_kinds = true,
            .keep_owners = options_.archive,
            .skipped = [this](const std::string& reason) { leave_out(reason); }};
  }

  void pack(std::string_view source, const Landing& landing) {
    const files::Packing packing{.name = landing.name.empty() ? "." : landing.name,
                                 .keep_owners = options_.archive,
                                 .skipped = [this](const std::string& reason) { leave_out(reason); }};
    BytePipe pipe([&](const BytePipe::Write& write) {
      files::pack(source, packing, [&](std::string_view bytes) {
        size_ += bytes.size();
        if (!write(bytes)) throw Error(ErrorKind::cancelled, "the engine takes no more");
      });
    });
    engine_.write_archive(container_, landing.folder, [&pipe](std::span<char> into) { return pipe.read(into); });
  }

  void leave_out(const std::string& reason) {
    left_out_ = true;
    std::cerr << "dstack-shim: left out: " << legible(reason) << "\n";
  }

  void report(const std::string& where) const {
    if (!options_.quiet) std::cerr << std::format("Copied {} to {}\n", human_size(size_), legible(where));
  }

  EngineClient& engine_;
  const std::string container_;
  const CopyOptions& options_;
  std::uint64_t size_ = 0;  // of the archive
  bool left_out_ = false;
};

}  // namespace

CLI::App* add_copy_command(CLI::App& app, CopyOptions& options) {
  CLI::App* copy = app.add_subcommand("cp", "Copy files between this machine and the container of a task");
  copy->add_flag("--archive,-a", options.archive, "Keep the owners of files, by uid and gid");
  copy->add_flag("--follow-link,-L", options.follow_link, "Follow a symbolic link at the source");
  copy->add_flag("--quiet,-q", options.quiet, "Do not report what was copied");
  copy->add_option("source", options.source, "TASK:PATH, a path, or - to read a tar archive")->required();
  copy->add_option("destination", options.destination, "TASK:PATH, a path, or - to write a tar archive")->required();
  return copy;
}

int copy(const CopyOptions& options) {
  log::set_up(spdlog::level::warn, log::Stream::standard_error, std::nullopt);
  const CopySide source = parse_copy_side(options.source);
  const CopySide destination = parse_copy_side(options.destination);
  if (source.task && destination.task) throw Error(ErrorKind::invalid, "copying between containers is not supported");
  const CopySide& inside = source.task ? source : destination;
  if (!inside.task) throw Error(ErrorKind::invalid, "one of source and destination must be TASK:PATH");
  if (inside.path.empty()) throw Error(ErrorKind::invalid, "the path in the container is empty");
  ShimApi shim(options.shim_port);
  const std::string container = container_of(shim, *inside.task);
  const auto engine = reach_engine(shim);
  Copying copying(*engine, container, options);
  if (source.task) {
    copying.from_container(source.path, destination);
  } else {
    copying.to_container(source, destination.path);
  }
  return copying.status();
}

}  // namespace dstack::shim::client
