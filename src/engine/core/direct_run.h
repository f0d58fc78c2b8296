// DirectRun: submissions through a scheduler of their own on a given runner, step by step in the
// calling thread: no mailbox, no clock. For self-checks, which want the same run each time.
// Owner: the caller. Thread: the device thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/core/runner.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {

/// What one sequence gave.
struct DirectAnswer {
  std::vector<Token> tokens;
  std::vector<float> embedding;  // where one was asked for
  FinishEvent finish;
};

class DirectRun {
 public:
  /// Borrows the runner. `ids` counts the sequences that it has seen, over all runs.
  /// Requires: the runner has at least the blocks of `options.kv`.
  DirectRun(Runner& runner, const SchedulerOptions& options, uint64_t& ids)
      : runner_(runner), ids_(ids), scheduler_(options) {}

  /// Runs submissions to their ends, a new one arriving every `stagger` steps (0: all at once).
  /// The prefix cache keeps what earlier calls have computed.
  /// Returns: an answer for each, in order.
  /// Errors: Scheduler::check()'s; the first sequence's that failed.
  Result<std::vector<DirectAnswer>> run(const std::vector<Submission>& submissions, int stagger);

  SchedulerStatus status() const { return scheduler_.status(); }

 private:
  using Paths = std::unordered_map<SequenceId, size_t>;
  void step(const Paths& places, std::vector<DirectAnswer>& answers, size_t& ended);

  Runner& runner_;
  uint64_t& ids_;
  Scheduler scheduler_;
};

}  // namespace pippin::engine
