// GrammarMaskPrefetch: walks one sequence's constraint: once a token is chosen, the mask for the
// next one is made on a worker while the engine plans and the device computes. Owner: the runner,
// one for each constrained sequence. Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/worker_pool.h"
#include "engine/core/types.h"

namespace pippin::engine {

class GrammarMaskPrefetch {
 public:
  /// Starts on the first mask. With `take_jump_forward`, tokens that must come are taken without
  /// asking the model. The pool outlives this object.
  GrammarMaskPrefetch(std::shared_ptr<Constraint> constraint, bool take_jump_forward,
                      WorkerPool& workers);
  /// Work under way goes on by itself and is dropped.
  ~GrammarMaskPrefetch() = default;
  GrammarMaskPrefetch(const GrammarMaskPrefetch&) = delete;
  GrammarMaskPrefetch& operator=(const GrammarMaskPrefetch&) = delete;

  /// The tokens that must come next, already taken, and whether the answer is at its end behind
  /// them.
  struct Outlook {
    std::vector<Token> jump_forward;
    bool complete = false;
  };

  /// Waits for what the answer must begin with. Given once: empty from then on.
  Outlook take_start();
  /// Takes a chosen token, and returns what must follow it.
  Outlook advance(Token token);
  /// Waits for the mask of the next token. Errors: the constraint's.
  Result<const std::vector<uint32_t>*> mask();

 private:
  struct State;
  void post(void (*work)(State& state));

  std::shared_ptr<State> state_;
  WorkerPool& workers_;
};

}  // namespace pippin::engine
