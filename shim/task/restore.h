#pragma once

#include <vector>

#include "shim/docker/engine_client.h"
#include "shim/gpu/gpu_pool.h"
#include "shim/task/task.h"
#include "shim/task/task_store.h"

namespace dstack::shim::task {

// What the journals and the engine's list of containers together say about the tasks of this home:
//   a container that was started belongs to a running task, whatever the journal had come to; whether it has ended is
//   the watcher's business a task that had not come so far, and has no started container, gets an ending a container of
//   this home without a journal is a task of the reference shim; from its labels comes a journal
// Changed journals are written before this returns. Throws Error if the engine cannot be asked for its list; one task
// or container that cannot be read is logged and keeps no other from being restored.
std::vector<TaskState> restore_tasks(const TaskStore& store, docker::EngineClient& engine, const gpu::GpuPool& gpus);

}  // namespace dstack::shim::task
