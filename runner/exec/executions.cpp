#include "runner/exec/executions.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/os/process_list.h"
#include "runner/exec/frames.h"
#include "runner/job/process_tree.h"

namespace dstack::runner::exec {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kPeerInterval{500};  // at which a silent program's caller is looked at
constexpr milliseconds kStartLimit{30000};
constexpr milliseconds kEndGrace{5000};
constexpr milliseconds kEndInterval{50};
constexpr milliseconds kKillPatience{2000};
constexpr const char* kOwnProgram = "/proc/self/exe";
constexpr const char* kLost = R"({"exit_status":null,"signal":"SIGKILL","oom":false})";

os::ChildSpec supervisor_spec() {
  os::ChildSpec spec;
  spec.arguments = {"dstack-runner", "supervise"};
  spec.program = kOwnProgram;
  spec.environment.emplace();
  spec.input = os::ChildStream::pipe();
  spec.output = os::ChildStream::pipe();
  spec.own_session = true;
  spec.spare_group = true;
  return spec;
}

// What came in time; empty at the end, nothing if nothing came.
std::optional<std::string> read_some(int fd, milliseconds limit) {
  pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return std::nullopt;
  std::string piece(std::size_t{64} << 10, '\0');
  const ssize_t count = ::read(fd, piece.data(), piece.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  piece.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return piece;
}

}  // namespace

class Executions::Running {
 public:
  Running(std::string id, os::Clock& clock) : id_(std::move(id)), supervisor_(supervisor_spec(), clock) {}

  const std::string& id() const { return id_; }
  int output() { return supervisor_.output().get(); }
  os::Child take_supervisor() {
    const os::Lock lock(mutex_);
    over_ = true;
    return std::move(supervisor_);
  }

  // Returns when the program runs; throws Error if it could not be started.
  void begin(const ExecSpec& spec, os::Clock& clock) {
    if (!supervisor_.write(dstack::json::dump(to_json(spec)) + "\n", {}, clock.now() + kStartLimit))
      throw Error(ErrorKind::internal, "start a program: its supervisor does not read");
    const os::SteadyTime deadline = clock.now() + kStartLimit;
    while (!begun_.contains('\n')) {
      const auto piece = read_some(output(), kPeerInterval);
      if (piece && piece->empty()) throw Error(ErrorKind::internal, "start a program: its supervisor exited");
      if (!piece && clock.now() >= deadline) throw Error(ErrorKind::timed_out, "start a program: no answer");
      begun_ += piece.value_or("");
    }
    const std::size_t end = begun_.find('\n');
    const json answer = dstack::json::parse_object(begun_.substr(0, end));
    begun_.erase(0, end + 1);
    const std::string error = dstack::json::ObjectReader(answer).string("error");
    if (!error.empty()) throw NoSuchProgram(std::format("{}: not executable ({})", spec.arguments.front(), error));
  }
  // Frames that have come already.
  std::string take_begun() { return std::exchange(begun_, {}); }

  void stop(const StopRequest& request) {
    const json order{{"signal", request.signal}, {"grace_ms", request.grace.count()}};
    const os::Lock lock(mutex_);
    // One that has ended meanwhile needs no stop.
    if (!over_) supervisor_.write(dstack::json::dump(order) + "\n", {}, supervisor_.clock().now() + kPeerInterval);
  }

 private:
  const std::string id_;
  os::Mutex mutex_;
  bool over_ DSTACK_GUARDED_BY(mutex_) = false;
  os::Child supervisor_;
  std::string begun_;
};

http::Response Executions::start(const ExecSpec& spec) {
  std::shared_ptr<Running> running;
  {
    const os::Lock lock(mutex_);
    if (ended_) throw Error(ErrorKind::conflict, "the container is being stopped");
    if (running_.contains(spec.id))
      throw Error(ErrorKind::conflict, std::format("id: a program {} runs", printable(spec.id)));
    std::erase_if(left_, [](os::Child& supervisor) { return supervisor.try_wait().has_value(); });
    running = std::make_shared<Running>(spec.id, clock_);
    running_.emplace(spec.id, running);
  }
  try {
    running->begin(spec, clock_);
  } catch (...) {
    forget(*running);
    throw;
  }
  // Should the caller go away before the body is asked for, the program is seen to its end all the same.
  struct Answer {
    Executions& executions;
    std::shared_ptr<Running> running;
    bool relayed = false;
    // NOLINTNEXTLINE(bugprone-exception-escape): a relay that fails for lack of memory has no orderly end
    ~Answer() {
      if (!relayed) executions.relay(*running, [](std::string_view) { return false; });
    }
  };
  const auto answer = std::make_shared<Answer>(*this, std::move(running));
  http::Response response;
  response.content_type = "application/octet-stream";
  response.stream = [answer](const http::BodySink& sink) {
    answer->relayed = true;
    answer->executions.relay(*answer->running, sink);
  };
  return response;
}

void Executions::relay(Running& running, const http::BodySink& sink) {
  FrameReader frames;
  bool listened_to = true;
  const auto send = [&](std::string_view piece) {
    if (!listened_to || sink(piece)) return;
    listened_to = false;
    running.stop({.signal = SIGTERM});
  };
  std::optional<std::string> piece = running.take_begun();
  // An empty piece is the end, but for the first, and for the question whether anybody listens.
  bool over = false;
  while (!over) {
    if (piece && !piece->empty()) {
      const std::size_t before = frames.before_end(*piece);
      send(std::string_view(*piece).substr(0, before));
      // Its id is free as soon as the caller knows of the end.
      if (frames.end_seen()) forget(running);
      if (before < piece->size()) send(std::string_view(*piece).substr(before));
    } else if (!piece && listened_to) {
      send("");
    }
    piece = read_some(running.output(), kPeerInterval);
    over = piece && piece->empty();
  }
  if (frames.end_seen()) {
    keep(running.take_supervisor());
    return;
  }
  // Somebody killed the supervisor, and all that was below it with it as a rule.
  forget(running);
  send(frame(FrameKind::end, kLost));
}

void Executions::forget(const Running& running) {
  const os::Lock lock(mutex_);
  const auto known = running_.find(running.id());
  if (known != running_.end() && known->second.get() == &running) running_.erase(known);
}

void Executions::keep(os::Child supervisor) {
  const os::Lock lock(mutex_);
  if (!supervisor.try_wait()) left_.push_back(std::move(supervisor));
}

void Executions::stop(const std::string& id, const StopRequest& request) {
  std::shared_ptr<Running> running;
  {
    const os::Lock lock(mutex_);
    const auto known = running_.find(id);
    if (known == running_.end()) throw Error(ErrorKind::not_found, std::format("no program {} runs", printable(id)));
    running = known->second;
  }
  running->stop(request);
}

void Executions::end_all() {
  {
    const os::Lock lock(mutex_);
    ended_ = true;
  }
  const auto find_all = [] {
    auto all = job::find_descendants(::getpid(), os::list_processes(), {});
    std::erase_if(all, [](const job::ProcessEntry& process) { return !process.alive(); });
    return all;
  };
  // Supervisors take no notice of a SIGTERM, and end when all below them has ended.
  const os::SteadyTime kill_at = clock_.now() + kEndGrace;
  for (const job::ProcessEntry& process : find_all()) ::kill(process.pid, SIGTERM);
  for (auto all = find_all(); !all.empty() && clock_.now() < kill_at + kKillPatience; all = find_all()) {
    if (clock_.now() >= kill_at) {
      for (const job::ProcessEntry& process : all) ::kill(process.pid, SIGKILL);
    }
    os::pause(clock_, kEndInterval, {});
  }
}

}  // namespace dstack::runner::exec
