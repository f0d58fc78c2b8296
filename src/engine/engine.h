// Engine: the mailbox between the service and the device thread. submit() from anywhere; the loop
// plans, runs, commits.
// Owner: service's model pool. Thread: any, unless said otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core/batch_invariance.h"
#include "engine/core/runner.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/types.h"
#include "engine/event_stream.h"
#include "engine/metrics.h"

namespace pippin::engine {

/// Limits, frozen at start. Memory terms are computed by the caller from the machine and the model
/// (service/memory_plan).
struct EngineOptions : SchedulerOptions {
  EngineOptions() { step_target = std::chrono::milliseconds(200); }

  int event_queue_max = 4096;  // events a slow reader may leave lying
  bool warm_up =
      false;  // answer a few made-up prompts before the start is told; see core/warm_up.h
  /// The file to record the run to (core/recorder.h). Empty = not.
  std::string record_path;
};

/// Counters and gauges, a consistent copy.
using EngineStatus = SchedulerStatus;

class Engine {
 public:
  /// Starts the device thread. `make_runner` is called on it first; its error is returned here.
  static Result<std::unique_ptr<Engine>> start(
      EngineOptions options, std::function<Result<std::unique_ptr<Runner>>()> make_runner);
  virtual ~Engine() = default;

  /// Errors: kContextLength (with both numbers), kOverloaded (saying when to try again),
  /// kUnavailable (draining), kInvalidArgument (empty prompt).
  virtual Result<std::shared_ptr<EventStream>> submit(Submission submission) = 0;
  virtual EngineStatus status() const = 0;
  /// Every live sequence by rising id, for a status page. Cost: one lock against the planning of a
  /// step.
  virtual std::vector<SequenceStatus> sequences() const { return {}; }
  /// What was measured since the start.
  virtual const EngineMetrics& metrics() const = 0;
  virtual const EngineOptions& options() const = 0;
  /// From now on every step runs one row, so that concurrent requests cannot change an answer.
  virtual void make_deterministic() {}
  /// Gives each KV group that many blocks, at most those of options(). The memory of the others
  /// goes back to the system, with the prefixes that they hold. Waits for the step under way.
  /// Returns: false, with nothing changed, if blocks that would go are in use, or the longest
  /// request would not fit any more. Also if the device cannot give memory back.
  virtual bool resize_kv(const std::vector<int>& /*blocks*/) { return false; }
  /// Counts what a batch-invariance check of this engine has found (metrics().invariance_*).
  virtual void note_batch_invariance(const Agreement& /*agreement*/) {}
  /// Says whether the device thread has ended by an exception: all sequences have ended with that
  /// error, submit() answers with it, and only a new engine serves the model again.
  virtual bool has_failed() const { return false; }
  /// Refuses new work; returns when all sequences have ended or the time is over (then they are
  /// cancelled, with the error kUnavailable).
  virtual void drain(Duration at_most) = 0;
};

}  // namespace pippin::engine
