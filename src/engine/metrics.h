// EngineMetrics: what one engine has measured since its start. Written by the device thread (and
// `refused` by submitters), read by anybody: all relaxed atomics.
// Owner: the engine. Thread: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/histogram.h"
#include "engine/core/types.h"

namespace pippin::engine {

constexpr int kFinishReasons = 6;  // of FinishReason

/// Times are in seconds and begin at submit(), which is after the prompt has been read.
struct EngineMetrics {
  // Fine below a hundredth of a second, where steps of small models lie; coarse above a minute.
  static constexpr double kSeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15,
                                        0.25,  0.5,    1,     2.5,  5,    10,   20,   40,
                                        80,    160,    320,   640,  1280, 2560};
  static constexpr double kTokens[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                       500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

  Histogram first_token_seconds{kSeconds};     // submitted to first token
  Histogram between_tokens_seconds{kSeconds};  // one token to the next
  Histogram per_token_seconds{kSeconds};       // the same, as a request's mean
  Histogram request_seconds{kSeconds};         // submitted to end
  Histogram queue_seconds{kSeconds};           // submitted to first row
  Histogram prefill_seconds{kSeconds};         // first row to first token
  Histogram decode_seconds{kSeconds};          // first token to last token
  Histogram step_seconds{kSeconds};
  Histogram step_tokens{kTokens};
  Histogram request_prompt_tokens{kTokens};
  Histogram request_generated_tokens{kTokens};
  std::array<std::atomic<uint64_t>, kFinishReasons> finished{};  // by FinishReason
  std::atomic<bool> deterministic{false};                        // every step runs one row
  // Answers and tokens that the batch-invariance monitor compared, and those that were equal.
  std::atomic<uint64_t> invariance_answers{0}, invariance_exact{0};
  std::atomic<uint64_t> invariance_tokens{0}, invariance_agreed{0};
  std::atomic<uint64_t> refused{0};  // submissions that found the queue full
};

}  // namespace pippin::engine
