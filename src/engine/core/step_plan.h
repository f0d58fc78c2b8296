// StepPlan and StepOutput: what one step does, and what it gives. Plain structs between scheduler
// and runner.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/types.h"

namespace pippin::engine {

/// Ids of blocks by position, -1 where no token of the row sees the block; one id, of a state or an
/// encoded input.
using BlockTable = std::vector<BlockId>;

/// Tokens of a row that see each other, by their places in the sequence.
struct MaskSpan {
  int begin = 0, count = 0;
  bool operator==(const MaskSpan&) const = default;
};

/// One sequence's part of a step: `tokens` go in at positions [start, start + tokens.size()); their
/// KV is written to the blocks of `kv`.
struct PlanRow {
  SequenceId sequence;
  int start = 0;  // position of tokens[0] = number of positions already in the cache
  std::vector<Token> tokens;
  /// Positions of the tokens, `position_components` of the submission each; empty = their places.
  std::vector<int32_t> positions;
  std::vector<MaskSpan> spans;  // within the row; other tokens see those before them
  std::vector<BlockTable> kv;  // one for each KV group; covers positions [0, start + tokens.size())
  bool sample = false;         // the last token's logits choose the next token
  bool pool = false;           // the prompt ends here, and its embedding is wanted
  int drafts = 0;  // tokens at the end that are guesses: logits of each, and of the one before, are
                   // wanted
  int generated = 0;      // tokens before this step: the counter of the row's random numbers
  bool first = false;     // first row of this sequence since (re)admission
  int previous_row = -1;  // >= 0: tokens[0] is not known yet: it is what that row of the step
                          // before gives
};

/// A copy done before the step: of a partly filled block, the first `positions` of `from` become
/// those of `to`; of a state, all of it. The copies of a plan may be done in any order: none reads
/// what another writes.
struct BlockCopy {
  int group = 0;  // of the KV plan
  BlockId from = 0, to = 0;
  int positions = 0;  // 0 = a state
};

/// An encoder's input that is computed before the step's rows, into a block of a cross-attention
/// group.
struct EncodeItem {
  SequenceId sequence;  // whose submission holds the input
  int group = 0;
  BlockId block = 0;
};

/// What one step does. At most the token budget in all rows together. Without rows it may still
/// release sequences.
struct StepPlan {
  uint64_t step = 0;
  std::vector<SequenceId> admitted;  // first row ever; the runner is told of them beforehand
  std::vector<BlockCopy> copies;
  std::vector<EncodeItem> encodes;
  std::vector<PlanRow> rows;
  std::vector<SequenceId> released;  // sequences whose per-row state the runner may drop

  int tokens() const {
    int n = 0;
    for (const PlanRow& row : rows) n += static_cast<int>(row.tokens.size());
    return n;
  }
  /// Returns whether there is anything for the runner to do.
  bool runs() const { return !rows.empty() || !released.empty() || !encodes.empty(); }
};

/// A token that the model chose.
struct SampledToken {
  Token token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

/// The result of one row, in the plan's order.
struct RowOutput {
  bool sampled = false;
  Token token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;
  /// Of a row with drafts: what the model chose behind `token`, one for each draft that came true,
  /// as far as it goes on.
  std::vector<SampledToken> verified;
  std::vector<Token>
      forced;             // what a constraint puts behind `token`; they need no row of their own
  bool complete = false;  // a constraint ends the answer behind these tokens
  // If asked for: of the token after each of this chunk's tokens, as far as the prompt goes.
  std::vector<PromptLogprobsEvent::Entry> prompt_logprobs;
  std::vector<float> embedding;  // of a row that pools
  std::optional<Error> error;    // this row failed; others may be fine
};

struct StepOutput {
  uint64_t step = 0;
  std::vector<RowOutput> rows;
};

}  // namespace pippin::engine
