// Batch-invariance check: the same prompts run exclusively, beside concurrent requests, in chunks,
// from the prefix cache and after preemption. The answers must agree token by token.
// Owner: the caller. Thread: the device thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core/runner.h"
#include "engine/core/scheduler.h"
#include "engine/core/types.h"

namespace pippin::engine {

/// A share of trials and where the true one lies.
struct Share {
  double value = 1, low = 0, high = 1;
};

/// Returns the share of successes with its 95 % confidence interval.
/// Requires: 0 <= successes <= trials. No trials say nothing: [0, 1].
/// Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
/// 1927.
Share wilson(int64_t successes, int64_t trials);

/// Answers of one kind of run, compared with those of exclusive runs.
struct Agreement {
  std::string name;  // "16 rows", "chunks of 64"
  int answers = 0;
  int exact = 0;                   // answers equal to the last token
  int64_t tokens = 0, agreed = 0;  // tokens compared, and those that are equal
  int first_prompt = -1;  // of the first difference: the prompt, and the place in its answer
  int first_token = -1;
  std::string note;  // such as that nothing was preempted

  bool same() const { return exact == answers; }
  Share exact_share() const { return wilson(exact, answers); }
  /// Too narrow an interval: behind a difference all tokens of an answer may differ. exact_share()
  /// does not have this fault.
  Share token_share() const { return wilson(agreed, tokens); }
  /// Counts one answer in.
  void add(int prompt, const std::vector<Token>& got, const std::vector<Token>& exclusive);
};

struct BatchInvarianceOptions {
  /// Limits of the engine that is checked. Blocks and rows must suffice for all prompts together.
  SchedulerOptions scheduler;
  std::vector<int> rows = {2, 4, 8, 16};
  std::vector<int> chunks = {16, 64};
  /// Called before each kind, with its name.
  std::function<void(const std::string& name)> progress;
};

/// Runs the prompts in every way.
/// Requires: at least two prompts, each of more than one token; their max_tokens is what is
/// generated.
/// Returns: one agreement for each way.
/// Errors: of a submission that does not fit, or of a row that failed.
Result<std::vector<Agreement>> check_batch_invariance(Runner& runner,
                                                      const BatchInvarianceOptions& options,
                                                      const std::vector<Submission>& prompts);

/// Returns the blocks that check_batch_invariance() needs.
int batch_invariance_blocks(const std::vector<Submission>& prompts, int block_positions);

}  // namespace pippin::engine
