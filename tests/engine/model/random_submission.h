// Submissions of random tokens, that answers of real engines are compared by.
#pragma once

#include <cstdint>
#include <random>

#include "engine/core/types.h"

namespace pippin::engine {

/// Every other one draws at random: a draw shows differences of the logits that an argmax hides.
inline Submission random_submission(int vocab, uint32_t seed, int prompt, int generate) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> any(3, vocab - 1);
  Submission submission;
  for (int i = 0; i < prompt; ++i) submission.tokens.push_back(any(random));
  submission.sampling.temperature = seed % 2 == 0 ? 0.0f : 1.0f;
  submission.sampling.seed = seed;
  submission.stop.max_tokens = generate;
  submission.stop.ignore_eos = true;
  return submission;
}

}  // namespace pippin::engine
