// What a scheduler is given, and what it tells of itself: plain structs. Thread: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "engine/core/block_pool.h"
#include "engine/core/types.h"
#include "engine/core/window_blocks.h"

namespace pippin::engine {

struct SchedulerOptions {
  int context_tokens_max = 0;
  int blocks = 0;
  int block_positions = 16;
  /// Blocks of layers that see `window` positions only; 0 = all layers share `blocks`. At least
  /// WindowShape::blocks_min().
  int window_blocks = 0;
  int window = 0;
  std::string kv_type = "f16";  // what blocks hold; a recording tells it, no plan depends on it
  int rows_max =
      64;  // at most step_tokens_max of them are used, so that every row can move in every step
  int queue_max = 512;
  int step_tokens_max = 512;
  Duration step_target{};  // zero = every step may hold step_tokens_max
  Duration slow_reader_max = std::chrono::seconds(30);
  bool prefix_cache = true;
  /// Every step holds one row, the prompts are cut at the same places always, and what preemption
  /// makes to be computed again is computed as it was the first time: with the prefix cache off, a
  /// sequence's steps look the same whatever company it has. For devices whose kernels choose
  /// another order of sums for another shape.
  bool serial = false;

  WindowShape window_shape() const { return {window, block_positions}; }
  /// Says whether there is no window pool, or one that is large enough.
  bool windows_suffice() const {
    return window_blocks == 0 ||
           (window > 0 && window_blocks >= window_shape().blocks_min(step_tokens_max));
  }
};

struct SequenceEvent {
  SequenceId sequence;
  Event event;
};

/// Counters since start and gauges of now.
struct SchedulerStatus {
  int running = 0, waiting = 0, paused = 0;
  int queued = 0;  // of the waiting, those never admitted
  int blocks_total = 0, blocks_free = 0, blocks_cached = 0, blocks_leased = 0;
  BlockCounts window_blocks;  // zeros without a window pool
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t prefix_queries = 0, prefix_hits = 0;  // tokens
};

}  // namespace pippin::engine
