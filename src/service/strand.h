// Strand: the turns of an answer: one function that is run on the worker pool whenever it is rung,
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

class Strand final : public std::enable_shared_from_this<Strand> {
 public:
  /// `step` must not own the strand. Requires: the pool outlives the strand.
  Strand(WorkerPool& workers, std::function<void()> step)
      : workers_(workers), step_(std::move(step)) {}

  /// Has `step` run at least once from now. Takes no lock but the pool's queue, so the device
  /// thread may call it.
  void ring();

 private:
  void run();

  WorkerPool& workers_;
  const std::function<void()> step_;
  std::atomic<uint64_t> rings_{0};  // since the last run began; the ring that finds 0 posts
};

}  // namespace pippin::service
