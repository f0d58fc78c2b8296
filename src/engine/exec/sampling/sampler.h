// RowSampler: chooses the next token of one sequence from its logits, by that sequence's own
// options. Owner: exec/runner, one for each sequence. Thread: the device thread. docs/sampling.md
// tells every option's meaning, range and place in the order:
//
//   constraint mask, allowed and banned tokens -> logit_bias -> repetition, presence, frequency
//   penalties -> DRY -> min_tokens, and then
//   - at temperature 0: the largest logit;
//   - with mirostat 2: temperature -> truncation by surprise -> draw;
//   - else: top_n_sigma -> top_k -> typical_p -> top_p -> min_p -> XTC -> temperature -> draw.
// That is llama.cpp's default order.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/core/step_plan.h"
#include "engine/core/types.h"
#include "engine/exec/sampling/distribution.h"
#include "engine/exec/sampling/history.h"
#include "engine/exec/sampling/logit_edits.h"
#include "engine/exec/sampling/simd_reductions.h"

namespace pippin::engine {

class RowSampler {
 public:
  /// `generated` are the tokens of the answer so far: none for a new sequence, and for one rebuilt
  /// after a preemption those that were accepted before. `mirostat_mu` is the old sampler's
  /// mirostat_mu(), the only state that tokens do not tell.
  explicit RowSampler(const Submission& submission, std::span<const Token> generated = {},
                      std::optional<float> mirostat_mu = std::nullopt);

  /// Chooses the token at `index` of the answer. Changes the logits. `mask` is a constraint's: bit
  /// t % 32 of word t / 32 allows t. The same logits, options and index give the same token,
  /// whatever was called before, but for mirostat's mu. Shapes: logits [V]. Errors in the output:
  /// kInternal (NaN or +inf from the model), kInvalidArgument (no token is allowed).
  RowOutput sample(std::span<float> logits, int index, const std::vector<uint32_t>* mask);

  /// Takes a token of the answer into account: the one sampled last, or one that was decided
  /// elsewhere.
  void accept(Token token);

  /// Returns the distribution that sample() would draw from, most probable first; empty on an
  /// error. For tests and tools.
  std::vector<sampling::Distribution::Choice> choices(std::span<float> logits, int index,
                                                      const std::vector<uint32_t>* mask);

  float mirostat_mu() const { return mirostat_mu_; }

 private:
  bool draws() const { return params_.temperature >= kGreedyBelow; }
  std::optional<Error> prepare(sampling::LogitEdits& edits, int index,
                               const std::vector<uint32_t>* mask);
  void forbid(sampling::LogitEdits& edits, const std::vector<uint32_t>* mask);
  sampling::Distribution truncate(std::span<float> logits, int index) const;
  void choose(std::span<float> logits, int index, RowOutput& out);

  /// Below this temperature the largest logit is taken.
  static constexpr float kGreedyBelow = 1e-5f;

  SamplingParams params_;
  std::vector<Token> stop_tokens_;  // banned before min_tokens_
  int min_tokens_;
  sampling::TokenHistory history_;
  sampling::DryPenalty dry_;
  float mirostat_mu_;
  std::optional<std::pair<Token, float>> surprise_;  // the sampled token's, until it is accepted
  std::vector<uint32_t> allowed_;                    // allowed_tokens as a mask
  sampling::Maxima maxima_;                          // scratch of sample()
};

/// Returns the log probabilities of the prompt's token `next`, given the logits before it: its own
/// and the `top` best ones'. They are the log-softmax of the model's own logits, before any option
/// (the convention of OpenAI's API and of vLLM's default), as are a sampled token's. Shapes: logits
/// [V]. Returns: -inf without `top` if the logits are not finite or `next` is outside the
/// vocabulary.
PromptLogprobsEvent::Entry prompt_logprob(std::span<const float> logits, Token next, int top);

/// The most log probabilities a token may carry.
inline constexpr int kTopLogprobsMax = 20;

}  // namespace pippin::engine
