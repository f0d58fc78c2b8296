// What is submitted to the engine and what comes out. Plain structs, printable and recordable; no
// MLX. What a step does is in step_plan.h.
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
  /// Advances by tokens of the answer.
  virtual Result<void> accept(std::span<const Token> tokens) = 0;
  /// Returns the tokens that must come next; none where there is a choice. Does not advance.
  virtual std::vector<Token> jump_forward() = 0;
  /// Writes the mask of allowed next tokens: bit t % 32 of word t / 32. Before jump-forward tokens
  /// it allows the first of them only.
  virtual Result<void> fill_mask(std::vector<uint32_t>& mask) = 0;
  /// Returns whether the answer is at its end.
  virtual bool complete() = 0;
};

/// Guesses what comes next in a sequence, for the model to verify in one step. Belongs to that
/// sequence alone. Thread: the device thread. Implemented outside the engine.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// Returns at most `at_most` tokens that may follow `tokens`; none where it has no guess.
  virtual std::vector<Token> propose(std::span<const Token> tokens, int at_most) = 0;
};

/// Tokens of a prompt (an image's, a clip's) whose embeddings come from an encoder in place of a
/// table.
struct MediaSpan {
  int begin = 0, count = 0;  // in the prompt
  std::string hash;          // of the content and its preprocessing; names the encoder's rows
  bool both_ways = false;    // its tokens see each other, whichever comes first: never cut
  /// Shapes: [count, E], the encoder's rows; null, where the runner has them.
  std::shared_ptr<const std::vector<float>> embeddings;
};

/// What an encoder sees, for a model that attends to it by cross attention.
struct EncodedInput {
  std::string hash;  // of the content and its preprocessing
};

/// How the hidden states of a prompt become one embedding.
enum class Pooling : uint8_t { kNone, kLast, kMean, kFirst };

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
  bool exclusive = false;
  std::shared_ptr<Constraint> constraint;
  std::shared_ptr<Drafter> drafter;  // not asked where a constraint holds the answer
  std::vector<MediaSpan> media;      // by rising position, apart from each other
  /// Positions of each prompt token, `position_components` at a time (rows and columns of an
  /// image); empty = its place. Tokens behind the prompt go on from the largest.
  std::vector<int32_t> positions;
  int position_components = 1;
  std::optional<EncodedInput> encoded;
  /// An embedding is wanted instead of tokens; max_tokens is 0 then.
  Pooling pooling = Pooling::kNone;
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

/// The embedding that was asked for, once, before the end.
struct EmbeddingEvent {
  std::vector<float> values;
};

using Event = std::variant<TokenEvent, PromptLogprobsEvent, EmbeddingEvent, FinishEvent>;

}  // namespace pippin::engine
