#include "shim/top/screen.h"

#include <algorithm>
#include <condition_variable>
#include <format>
#include <ftxui/component/component.hpp>
#include <ftxui/component/event.hpp>
#include <ftxui/component/screen_interactive.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/os/mutex.h"
#include "common/text/split.h"
#include "shim/client/stopping.h"
#include "shim/client/text.h"
#include "shim/top/view.h"

namespace dstack::shim::top {

namespace {

constexpr std::chrono::seconds kStopTime{15};
constexpr std::size_t kLogLines = 500;
constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;  // what the shim answers with at most

// The last lines that a task's job wrote. The shim serves pieces from an offset, so the end is searched for.
std::vector<std::string> last_lines(client::ShimApi& shim, const std::string& task) {
  std::uint64_t low = 0;
  std::string piece = shim.output(task, 0);
  for (std::uint64_t step = kPiece; piece.size() >= kPiece && step > 0;) {
    std::string next = shim.output(task, low + step);
    if (next.empty()) {
      step /= 2;
      if (step < kPiece / 16) break;
    } else {
      low += step;
      piece = std::move(next);
      if (piece.size() < kPiece) break;
      step *= 2;
    }
  }
  std::vector<std::string> lines;
  for (const std::string_view line : text::split_lines(piece)) lines.push_back(client::legible(line));
  if (lines.size() > kLogLines) lines.erase(lines.begin(), lines.end() - kLogLines);
  return lines;
}

// What is on the screen, shared by the thread that looks and the one that draws.
class TopScreen {
 public:
  TopScreen(Collector& collector, const ScreenSettings& settings)
      : collector_(collector), settings_(settings), terminal_(ftxui::ScreenInteractive::Fullscreen()) {}

  int run() {
    auto renderer = ftxui::Renderer([this] { return draw(); });
    auto component = ftxui::CatchEvent(renderer, [this](const ftxui::Event& event) { return handle(event); });
    looking_ = std::jthread([this](const std::stop_token& stop) { look(stop); });
    terminal_.Loop(component);
    looking_.request_stop();
    changed_.notify_all();
    looking_.join();
    // A stop that was asked for is carried out.
    stops_.clear();
    return 0;
  }

 private:
  void look(const std::stop_token& stop) {
    client::ShimApi shim(settings_.shim_port);
    while (!stop.stop_requested()) {
      Snapshot snapshot = collector_.collect();
      std::string wanted;
      {
        const os::Lock lock(mutex_);
        sort_tasks(snapshot.tasks, state_.order);
        trends_.add(snapshot);
        snapshot_ = std::move(snapshot);
        follow_selection();
        if (state_.shows_log) wanted = selected_id_;
      }
      if (!wanted.empty()) read_log(shim, wanted);
      terminal_.PostEvent(ftxui::Event::Custom);
      os::Lock lock(mutex_);
      os::system_clock().wait_until(
          lock.native(), changed_, os::system_clock().now() + settings_.interval,
          [&]() DSTACK_REQUIRES(mutex_) { return stop.stop_requested() || std::exchange(wants_look_, false); });
    }
  }

  void read_log(client::ShimApi& shim, const std::string& task) {
    std::vector<std::string> lines;
    try {
      lines = last_lines(shim, task);
    } catch (const std::exception& error) {
      lines = {error.what()};
    }
    const os::Lock lock(mutex_);
    state_.log = std::move(lines);
  }

  // The selection stays with its task, at whatever place in the list.
  void follow_selection() DSTACK_REQUIRES(mutex_) {
    const auto found = std::ranges::find_if(
        snapshot_.tasks, [this](const TaskRow& row) DSTACK_REQUIRES(mutex_) { return row.task.id == selected_id_; });
    if (found != snapshot_.tasks.end()) state_.selected = static_cast<std::size_t>(found - snapshot_.tasks.begin());
    select(state_.selected);
  }

  void select(std::size_t index) DSTACK_REQUIRES(mutex_) {
    state_.selected = snapshot_.tasks.empty() ? 0 : std::min(index, snapshot_.tasks.size() - 1);
    selected_id_ = snapshot_.tasks.empty() ? "" : snapshot_.tasks[state_.selected].task.id;
  }

  ftxui::Element draw() {
    const auto size = ftxui::Terminal::Size();
    const os::Lock lock(mutex_);
    return view(snapshot_, trends_, state_,
                {.width = static_cast<std::size_t>(size.dimx),
                 .height = static_cast<std::size_t>(size.dimy),
                 .colours = settings_.colours,
                 .utf8 = settings_.utf8});
  }

  bool handle(const ftxui::Event& event) {
    if (event == ftxui::Event::Custom) return false;
    const os::Lock lock(mutex_);
    if (!state_.question.empty()) return answer(event);
    if (event == ftxui::Event::Character('q') || event == ftxui::Event::CtrlC) {
      terminal_.Exit();
    } else if (event == ftxui::Event::ArrowDown || event == ftxui::Event::Character('j')) {
      select(state_.selected + 1);
    } else if (event == ftxui::Event::ArrowUp || event == ftxui::Event::Character('k')) {
      if (state_.selected > 0) select(state_.selected - 1);
    } else if (event == ftxui::Event::Character('l') || event == ftxui::Event::Return) {
      toggle_log();
    } else if (event == ftxui::Event::Escape) {
      if (state_.shows_log) toggle_log();
    } else if (event == ftxui::Event::Character('s')) {
      ask_to_stop();
    } else {
      return change_order(event);
    }
    return true;
  }

  bool change_order(const ftxui::Event& event) DSTACK_REQUIRES(mutex_) {
    static const std::vector<std::pair<char, Order>> kOrders{
        {'a', Order::age}, {'c', Order::cpu}, {'m', Order::memory}, {'g', Order::gpu}, {'n', Order::name}};
    for (const auto& [key, order] : kOrders) {
      if (event != ftxui::Event::Character(key)) continue;
      state_.order = order;
      sort_tasks(snapshot_.tasks, order);
      follow_selection();
      return true;
    }
    return false;
  }

  void toggle_log() DSTACK_REQUIRES(mutex_) {
    if (selected_id_.empty()) return;
    state_.shows_log = !state_.shows_log;
    state_.log.clear();
    state_.log_title = "log of " + client::label_of(snapshot_.tasks[state_.selected].task);
    wants_look_ = true;
    changed_.notify_all();
  }

  void ask_to_stop() DSTACK_REQUIRES(mutex_) {
    if (selected_id_.empty() || snapshot_.tasks[state_.selected].task.ended()) return;
    asked_for_ = snapshot_.tasks[state_.selected].task;
    state_.question = std::format("Stop {}?", client::label_of(*asked_for_));
  }

  bool answer(const ftxui::Event& event) DSTACK_REQUIRES(mutex_) {
    if (event == ftxui::Event::Character('y') && asked_for_) {
      stops_.emplace_back([this, task = *asked_for_] { stop(task); });
    }
    state_.question.clear();
    asked_for_.reset();
    return true;
  }

  // On a thread of its own: it may take as long as the job has to end.
  void stop(const client::TaskEntry& task) {
    const auto note = [this](std::string_view text) {
      const os::Lock lock(mutex_);
      state_.notice = text;
      terminal_.PostEvent(ftxui::Event::Custom);
    };
    try {
      client::ShimApi shim(settings_.shim_port);
      client::Stopping stopping(shim, kStopTime, note);
      stopping.begin(task);
      stopping.finish(task);
      note(std::format("{} was stopped", client::label_of(task)));
    } catch (const std::exception& error) {
      note(error.what());
    }
  }

  Collector& collector_;
  const ScreenSettings settings_;
  ftxui::ScreenInteractive terminal_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  Snapshot snapshot_ DSTACK_GUARDED_BY(mutex_);
  Trends trends_ DSTACK_GUARDED_BY(mutex_);
  ViewState state_ DSTACK_GUARDED_BY(mutex_);
  std::string selected_id_ DSTACK_GUARDED_BY(mutex_);
  std::optional<client::TaskEntry> asked_for_ DSTACK_GUARDED_BY(mutex_);
  bool wants_look_ DSTACK_GUARDED_BY(mutex_) = false;
  std::jthread looking_;
  std::vector<std::jthread> stops_;  // of the drawing thread
};

}  // namespace

int run_screen(Collector& collector, const ScreenSettings& settings) { return TopScreen(collector, settings).run(); }

}  // namespace dstack::shim::top
