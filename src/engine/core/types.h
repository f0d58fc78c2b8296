// The engine's words: what is submitted, what a step does, what comes out. Plain structs, printable
// and recordable; no MLX.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/result.h"
#include "base/strong_id.h"

namespace pippin::engine {

using Token = int32_t;
using BlockId = int32_t;
using SequenceId = StrongId<struct SequenceTag>;

/// How the next token of a row is chosen. Defaults: greedy-free plain sampling at temperature 1.
/// Each option's definition is in exec/sampling/sampler.h.
struct SamplingParams {
  float temperature = 1.0f;      // 0 = argmax
  int top_k = 0;                 // 0 = off
  float top_p = 1.0f;            // 1 = off
  float min_p = 0.0f;            // 0 = off
  float typical_p = 1.0f;        // 1 = off
  float top_n_sigma = -1.0f;     // <= 0 = off
  float xtc_probability = 0.0f;  // 0 = off
  float xtc_threshold = 0.1f;    // > 0.5 = off
  float dynatemp_range = 0.0f;   // 0 = off
  float dynatemp_exponent = 1.0f;
  int mirostat = 0;  // 0 = off, 2 = mirostat 2.0
  float mirostat_tau = 5.0f;
  float mirostat_eta = 0.1f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int penalty_last_n = -1;  // tokens looked at by the repetition penalty; -1 = prompt and answer
  float dry_multiplier = 0.0f;  // 0 = off
  float dry_base = 1.75f;
  int dry_allowed_length = 2;
  int dry_penalty_last_n = -1;
  std::vector<std::vector<Token>> dry_sequence_breakers;
  std::vector<std::pair<Token, float>> logit_bias;
  std::vector<Token> allowed_tokens;  // empty = all
  std::vector<Token> banned_tokens;
  uint64_t seed = 0;
  int logprobs = -1;         // -1 = none; n = the sampled token's and the n best (0 to 20)
  int prompt_logprobs = -1;  // the same for the prompt's tokens
};

/// When a sequence ends by tokens. Stop strings are the service's, which cancels with
/// FinishReason::kStop.
struct StopRules {
  std::vector<Token> stop_tokens;  // the token that stops is counted, but not part of the text
  int max_tokens = 0;              // > 0
  int min_tokens = 0;              // stop tokens are not sampled before
  bool ignore_eos = false;         // stop_tokens are ordinary tokens
};

/// Holds one sequence to a grammar. Belongs to that sequence alone. Its errors end the sequence.
/// Thread: one at a time, beside the device thread. Implemented outside the engine.
class Constraint {
 public:
  virtual ~Constraint() = default;
  /// Moves on by tokens of the answer.
  virtual Result<void> accept(std::span<const Token> tokens) = 0;
  /// Returns the tokens that must come next, without moving on; none where there is a choice.
  virtual std::vector<Token> forced() = 0;
  /// Writes the mask of allowed next tokens: bit t % 32 of word t / 32. Where forced() gives tokens
  /// it allows the first of them only.
  virtual Result<void> fill_mask(std::vector<uint32_t>& mask) = 0;
  /// Returns whether the answer is at its end.
  virtual bool complete() = 0;
};

enum class Priority : int8_t { kLow = -1, kNormal = 0, kHigh = 1 };

/// One sequence to generate. `n > 1` of a request is n submissions that share prompt blocks by
/// their content.
struct Submission {
  std::vector<Token> tokens;  // the prompt; not empty
  SamplingParams sampling;
  StopRules stop;
  Priority priority = Priority::kNormal;
  std::optional<TimePoint> deadline;
  std::string cache_salt;  // joined to model, adapter and tenant
  /// Shares no step with other sequences; its steps and theirs take turns. For self-checks.
  bool alone = false;
  std::shared_ptr<Constraint> constraint;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kTimeout, kSlowReader, kError };

struct TokenLogprob {
  Token token = 0;
  float logprob = 0;
};

/// A sampled token.
struct TokenEvent {
  Token token = 0;
  int index = 0;                  // 0 for the first generated token
  float logprob = 0;              // if asked for
  std::vector<TokenLogprob> top;  // likewise
};

/// The prompt's log probabilities, once, before the first token. Entry 0 has none and is empty.
struct PromptLogprobsEvent {
  struct Entry {
    TokenLogprob chosen;
    std::vector<TokenLogprob> top;
  };
  std::vector<Entry> entries;
};

/// The end; the last event of every sequence, exactly once.
struct FinishEvent {
  FinishReason reason = FinishReason::kStop;
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt's, those in the prefix cache at the first admission
  int completion_tokens = 0;
  Error error;  // for kError; for kCancelled where the engine ends by itself
};

using Event = std::variant<TokenEvent, PromptLogprobsEvent, FinishEvent>;

/// One sequence's part of a step: `tokens` go in at positions [start, start + tokens.size()); their
/// KV is written to `blocks`.
struct PlanRow {
  SequenceId sequence;
  int start = 0;  // position of tokens[0] = number of positions already in the cache
  std::vector<Token> tokens;
  std::vector<BlockId> blocks;         // covers positions [0, start + tokens.size())
  std::vector<BlockId> window_blocks;  // likewise for windowed layers; -1 where no token of the row
                                       // sees the block; empty without a window pool
  bool sample = false;                 // the last token's logits choose the next token
  int generated = 0;   // tokens before this step: the counter of the row's random numbers
  bool first = false;  // first row of this sequence since (re)admission
  int follows =
      -1;  // >= 0: tokens[0] is not known yet: it is what that row of the step before gives
};

/// A copy of a partly filled block, done before the step: the first `positions` of `from` become
/// those of `to`. The copies of a plan may be done in any order: none reads what another writes.
struct BlockCopy {
  BlockId from = 0, to = 0;
  int positions = 0;
};

/// What one step does. At most the token budget in all rows together. Without rows it may still
/// release sequences.
struct StepPlan {
  uint64_t step = 0;
  std::vector<SequenceId> admitted;  // first row ever; the runner is told of them beforehand
  std::vector<BlockCopy> copies;
  std::vector<BlockCopy> window_copies;  // between blocks of windowed layers
  std::vector<PlanRow> rows;
  std::vector<SequenceId> released;  // sequences whose per-row state the runner may drop

  int tokens() const {
    int n = 0;
    for (const PlanRow& row : rows) n += static_cast<int>(row.tokens.size());
    return n;
  }
  /// Returns whether there is anything for the runner to do.
  bool runs() const { return !rows.empty() || !released.empty(); }
};

/// The result of one row, in the plan's order.
struct RowOutput {
  bool sampled = false;
  Token token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;
  std::vector<Token>
      forced;             // what a constraint puts behind `token`; they need no row of their own
  bool complete = false;  // a constraint ends the answer behind these tokens
  // If asked for: of the token after each of this chunk's tokens, as far as the prompt goes.
  std::vector<PromptLogprobsEvent::Entry> prompt_logprobs;
  std::optional<Error> error;  // this row failed; others may be fine
};

struct StepOutput {
  uint64_t step = 0;
  std::vector<RowOutput> rows;
};

}  // namespace pippin::engine
