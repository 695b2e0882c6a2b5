#include "shim/autoscale/shrink.h"

#include <algorithm>
#include <format>
#include <map>
#include <tuple>

#include "common/command_error.h"
#include "common/exit_status.h"

namespace dstack::shim::autoscale {

using namespace std::chrono_literals;
using server_api::Fleet;
using server_api::Instance;
using server_api::Run;

namespace {

constexpr std::chrono::seconds kEndLimit = 120s;
constexpr std::chrono::milliseconds kPause = 1s;

bool is_busy(const Instance& instance, const std::set<std::string>& in_use) {
  return instance.status == "busy" || instance.busy_blocks > 0 || in_use.contains(instance.id);
}

int rank(const Instance& instance, const std::set<std::string>& in_use) {
  if (is_busy(instance, in_use)) return 2;
  return instance.status == "idle" ? 1 : 0;
}

CommandError failed(const std::string& message) { return {exit_status::kFailed, message}; }

}  // namespace

Extra extra_instances(const std::vector<Instance>& instances, std::int64_t maximum,
                      const std::set<std::string>& in_use) {
  std::vector<Instance> active;
  std::ranges::copy_if(instances, std::back_inserter(active), &Instance::active);
  std::ranges::sort(active, [&](const Instance& a, const Instance& b) {
    return std::tuple(rank(a, in_use), b.created, b.number) < std::tuple(rank(b, in_use), a.created, a.number);
  });
  const auto count = static_cast<std::int64_t>(active.size()) - maximum;
  active.resize(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
  Extra extra;
  for (const Instance& instance : active) (is_busy(instance, in_use) ? extra.busy : extra.free).push_back(instance);
  return extra;
}

std::vector<BusyInstance> with_runs(const std::vector<Instance>& busy, const std::string& fleet,
                                    const std::vector<Run>& runs) {
  std::vector<BusyInstance> named;
  std::set<std::string> taken;
  for (const Instance& instance : busy) {
    BusyInstance& added = named.emplace_back(BusyInstance{.name = instance.name, .runs = {}});
    for (const Run& run : runs) {
      const bool holds =
          run.fleet == fleet && !instance.hostname.empty() && std::ranges::contains(run.hostnames, instance.hostname);
      if (!holds) continue;
      added.runs.push_back(run.name);
      taken.insert(run.name);
    }
  }
  // A machine that has just been asked for has no address yet, and neither has its run's job.
  for (std::size_t i = 0; i < busy.size(); ++i) {
    if (!busy[i].hostname.empty()) continue;
    const auto found = std::ranges::find_if(
        runs, [&](const Run& run) { return run.fleet == fleet && run.waits_for_host && !taken.contains(run.name); });
    if (found == runs.end()) continue;
    named[i].runs.push_back(found->name);
    taken.insert(found->name);
  }
  return named;
}

std::vector<BusyInstance> busy_beyond(server_api::Client& server, const Rule& rule, std::int64_t maximum) {
  const Extra extra = extra_instances(rule.instances, maximum);
  if (extra.busy.empty()) return {};
  return with_runs(extra.busy, rule.fleet, server.active_runs());
}

bool Shrinking::delete_free(const std::string& fleet, const std::vector<Instance>& free) {
  bool refused = false;
  // One refused number fails a whole call, so each has its own.
  for (const Instance& instance : free) {
    if (server_.delete_instance(fleet, instance.number)) continue;
    in_use_.insert(instance.id);
    refused = true;
  }
  return refused;
}

bool Shrinking::stop_runs(const std::vector<BusyInstance>& busy, const std::vector<Run>& runs) {
  std::set<std::string> names;
  for (const BusyInstance& instance : busy) names.insert(instance.runs.begin(), instance.runs.end());
  return stopper_.stop(names, runs);
}

Ended Shrinking::end_extra(const std::string& name, std::int64_t maximum) {
  os::SteadyTime deadline = clock_.now() + kEndLimit;
  Ended ended;
  std::map<std::string, std::string> active;  // names by id, of those that have not ended
  while (true) {
    const auto fleet = server_.fleet(name);
    const std::vector<Instance> instances = fleet ? fleet->instances : std::vector<Instance>{};
    std::map<std::string, std::string> now_active;
    for (const Instance& instance : instances) {
      if (instance.active()) now_active[instance.id] = instance.name;
    }
    for (const auto& [id, instance_name] : active) {
      if (!now_active.contains(id)) ended.instances.push_back(instance_name);
    }
    active = std::move(now_active);

    const Extra extra = extra_instances(instances, maximum, in_use_);
    if (extra.free.empty() && extra.busy.empty()) return ended;
    // Which ones to end is chosen again without those that a job has taken.
    if (delete_free(name, extra.free)) continue;
    if (!extra.busy.empty()) {
      const std::vector<Run> runs = server_.active_runs();
      const std::vector<BusyInstance> busy = with_runs(extra.busy, name, runs);
      if (drain_ && extra.free.empty()) {
        ended.left = busy;
        return ended;
      }
      if (!drain_) {
        consent_.demand(busy, "the maximum is lowered already and the others are ended");
        if (stop_runs(busy, runs)) deadline = clock_.now() + kEndLimit;
        for (const Instance& instance : extra.busy) server_.delete_instance(name, instance.number);
      }
    }
    if (clock_.now() >= deadline) {
      const Instance& first = extra.busy.empty() ? extra.free.front() : extra.busy.front();
      throw failed(std::format("{} has not ended within {} s: run the command again", first.name, kEndLimit.count()));
    }
    os::pause(clock_, kPause, {});
  }
}

void Shrinking::delete_fleet(const Rule& rule) {
  const os::SteadyTime deadline = clock_.now() + kEndLimit;
  while (!rule.terminating) {
    try {
      server_.delete_fleet(rule.fleet);
      break;
    } catch (const server_api::Failure& failure) {
      if (!std::string_view(failure.what()).contains("in use") || clock_.now() >= deadline) throw;
    }
    os::pause(clock_, kPause, {});
  }
  await_end(rule, kEndLimit);
}

void Shrinking::await_end(const Rule& rule, std::chrono::seconds limit) {
  const os::SteadyTime deadline = clock_.now() + limit;
  while (true) {
    const auto fleet = server_.fleet(rule.fleet);
    if (!fleet || fleet->id != rule.fleet_id) return;
    if (clock_.now() >= deadline) {
      throw failed(
          std::format("fleet {} is still being deleted after {} s: run the command again", rule.fleet, limit.count()));
    }
    os::pause(clock_, kPause, {});
  }
}

}  // namespace dstack::shim::autoscale
