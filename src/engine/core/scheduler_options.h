// What a scheduler is given, and what it tells of itself: plain structs. Thread: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/kv_plan.h"
#include "base/model_inputs.h"
#include "base/result.h"
#include "engine/core/block_pool.h"
#include "engine/core/types.h"

namespace pippin::engine {

struct SchedulerOptions {
  int context_tokens_max = 0;  // prompt and answer together
  KvPlan kv;
  ModelInputs inputs;  // what the model takes besides token ids
  /// At most step_tokens_max of them are used, so that every row moves in every step.
  int rows_max = 64;
  int queue_max = 512;        // sequences waiting; more is kOverloaded
  int step_tokens_max = 512;  // token budget of a step
  /// The token budget adapts so that a step takes about this long. Zero = always step_tokens_max.
  Duration step_target{};
  /// A reader whose queue is full for longer is cancelled.
  Duration slow_reader_max = std::chrono::seconds(30);
  bool prefix_cache = true;
  int drafts_max = 8;  // drafted tokens that one row verifies, at most
  /// Every step holds one row and prompts are cut at fixed places. Recomputation after preemption
  /// replays the original chunks. Without the prefix cache, a sequence's steps do not depend on
  /// concurrent requests. For devices whose kernels order sums by shape.
  bool deterministic = false;

  /// Errors: kInvalidArgument, naming the limit or the group of the KV plan that cannot work.
  Result<void> check() const;
  /// Returns the positions that one sequence can ever hold: the context, or what the KV plan holds
  /// if that is less.
  int64_t positions_max() const;
};

struct SequenceEvent {
  SequenceId sequence;
  Event event;
};

/// What the blocks of a KV group are doing.
struct KvGroupStatus {
  KvKind kind = KvKind::kFull;
  BlockCounts blocks;
};

/// Counters since start and gauges of now.
struct SchedulerStatus {
  int running = 0, waiting = 0, paused = 0;
  int queued = 0;                 // of the waiting, those never admitted
  std::vector<KvGroupStatus> kv;  // as in the KV plan
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t prefix_queries = 0, prefix_hits = 0;  // tokens
  uint64_t drafted = 0, accepted = 0;            // drafted tokens, and those that were accepted

  /// Returns the counts of the first group of a kind; zeros without one.
  BlockCounts blocks(KvKind kind = KvKind::kFull) const {
    for (const KvGroupStatus& group : kv)
      if (group.kind == kind) return group.blocks;
    return {};
  }
};

}  // namespace pippin::engine
