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
#include "engine/core/divergence.h"
#include "engine/core/runner.h"
#include "engine/core/sequence.h"
#include "engine/core/types.h"
#include "engine/metrics.h"

namespace pippin::engine {

/// The events of one sequence, bounded. The device thread pushes, one reader takes. Destroying the
/// last handle cancels the sequence.
class EventStream {
 public:
  virtual ~EventStream() = default;
  virtual SequenceId id() const = 0;
  /// Moves all waiting events to the end of `out`. Never blocks.
  virtual void take(std::vector<Event>& out) = 0;
  /// Sets a callback for "events are waiting"; called on the device thread, must not block. Called
  /// at once if events wait already. Called when the queue turns from empty to not empty, so the
  /// reader takes all. A call under way may outlast the handle.
  virtual void set_notify(std::function<void()> notify) = 0;
  /// Asks for the end. Blocks are free within one step; a FinishEvent with `reason` follows.
  virtual void cancel(FinishReason reason) = 0;
};

/// Limits, frozen at start. Memory terms are computed by the caller from the machine and the model
/// (service/memory_plan).
struct EngineOptions {
  int context_tokens_max = 0;  // prompt and answer together
  int blocks = 0;              // KV blocks in the pool
  int block_positions = 16;    // S
  int window_blocks = 0;       // of layers that see `window` positions; 0 = they share `blocks`
  int window = 0;
  std::string kv_type = "f16";  // what blocks hold; for a recording
  int rows_max = 64;            // sequences in one step
  int queue_max = 512;          // sequences waiting; more is kOverloaded
  int step_tokens_max = 512;    // token budget of a step
  int event_queue_max = 4096;   // events a slow reader may leave lying
  bool prefix_cache = true;
  bool warm_up =
      false;  // answer a few made-up prompts before the start is told; see core/warm_up.h
  /// Every step runs one row; see SchedulerOptions::serial.
  bool serial = false;
  /// The token budget adapts so that a step takes about as long. 0 = always step_tokens_max.
  Duration step_target = std::chrono::milliseconds(200);
  /// A reader whose queue is full for longer is cancelled.
  Duration slow_reader_max = std::chrono::seconds(30);
  /// The file to record the run to (core/recorder.h). Empty = not.
  std::string record_path;
};

/// Counters and gauges, a consistent copy.
struct EngineStatus {
  int running = 0, waiting = 0, paused = 0;
  int blocks_total = 0, blocks_free = 0, blocks_cached = 0, blocks_leased = 0;
  BlockCounts window_blocks;  // zeros without a window pool
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t prefix_queries = 0, prefix_hits = 0;  // tokens
};

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
  /// From now on every step runs one row, so that company cannot change an answer.
  virtual void serialise() {}
  /// Counts what a check of this engine has found (metrics().divergence_*).
  virtual void note_divergence(const Agreement& /*agreement*/) {}
  /// Refuses new work; returns when all sequences have ended or the time is over (then they are
  /// cancelled, with the error kUnavailable).
  virtual void drain(Duration at_most) = 0;
};

}  // namespace pippin::engine
