// SerialTask: one function that is run on the worker pool whenever it is notified,
// never twice at the same time, and never behind new work. Owner: who has the function; shared with
// the pool while queued. Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/worker_pool.h"

namespace pippin::service {

class SerialTask final : public std::enable_shared_from_this<SerialTask> {
 public:
  /// `step` must not own the task. Requires: the pool outlives the task.
  SerialTask(WorkerPool& workers, std::function<void()> step)
      : workers_(workers), step_(std::move(step)) {}

  /// Has `step` run at least once from now. Takes no lock but the pool's queue, so the device
  /// thread may call it.
  void notify();

 private:
  void run();

  WorkerPool& workers_;
  const std::function<void()> step_;
  std::atomic<uint64_t> notices_{0};  // since the last run began; the call that finds 0 posts
};

}  // namespace pippin::service
