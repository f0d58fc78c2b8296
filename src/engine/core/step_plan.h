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
  int drafts = 0;      // guesses at the end; their logits and those of the token before are wanted
  int generated = 0;   // tokens before this step; counter of the row's random numbers
  bool first = false;  // first row of this sequence since (re)admission
  int previous_row = -1;  // row of the previous step whose sampled token is this input; -1 = none
};

/// A copy done before the step: the first `positions` of block `from` become those of `to`. A state
/// is copied whole. The copies of a plan may run in any order: none reads what another writes.
struct BlockCopy {
  int group = 0;  // of the KV plan
  BlockId from = 0, to = 0;
  int positions = 0;  // 0 = a state
};

/// An encoder's input, computed into a block of a cross-attention group before the step's rows.
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
  /// Of a row with drafts: the tokens that the model chose behind `token`, one for each accepted
  /// draft.
  std::vector<SampledToken> verified;
  std::vector<Token> jump_forward;  // tokens that a constraint decides behind `token`
  bool complete = false;            // the constraint ends the answer behind these tokens
  /// If asked for: one for each token of this chunk, of the prompt token that follows it.
  std::vector<PromptLogprobsEvent::Entry> prompt_logprobs;
  std::vector<float> embedding;  // of a row that pools
  std::optional<Error> error;    // this row failed; others may be fine
};

struct StepOutput {
  uint64_t step = 0;
  std::vector<RowOutput> rows;
};

}  // namespace pippin::engine
