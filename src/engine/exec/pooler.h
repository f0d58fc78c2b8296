// Pooler: makes one embedding of a prompt's hidden states, which come chunk by chunk. The result
// does not depend on where the prompt was cut.
// Owner: the runner, one for each sequence that wants an embedding. Thread: the device thread.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

class Pooler {
 public:
  /// Requires: a pooling other than kNone.
  explicit Pooler(Pooling pooling) : pooling_(pooling) {}

  /// Returns the tokens of a row [first, end) whose hidden states it needs.
  std::pair<int, int> wanted(const PlanRow& row) const;
  /// Takes the hidden states of wanted() of a row. One at the prompt's beginning begins anew.
  /// Shapes: [wanted, E] f32.
  void add(const PlanRow& row, std::span<const float> states);
  /// Returns the embedding. Shapes: [E] f32.
  /// Errors: kInternal, if it has not seen all of the prompt.
  Result<std::vector<float>> take(int prompt_tokens) const;

 private:
  Pooling pooling_;
  int seen_ = 0;              // tokens, from the prompt's beginning on without a gap
  std::vector<double> sums_;  // [E]; kLast and kFirst: the one token's
};

}  // namespace pippin::engine
