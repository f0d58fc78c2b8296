// The fixed prompts of the divergence checks. Thread: any.
#pragma once

#include <vector>

#include "base/result.h"
#include "engine/core/types.h"
#include "text/tokenizer.h"

namespace pippin::app {

/// Returns 16 prompts of 8 texts, short and long, each once greedy and once drawn with a seed, to
/// be continued by `tokens` tokens whatever they are. Errors: of the tokenizer.
Result<std::vector<engine::Submission>> doctor_prompts(const text::Tokenizer& tokenizer,
                                                       int tokens);

/// Returns four of them, the shorter ones, for a server that has other work to do.
Result<std::vector<engine::Submission>> monitor_prompts(const text::Tokenizer& tokenizer);

}  // namespace pippin::app
