// LatentSpec: a layer's attention over compressed keys and values (MLA), apart from its
// projections. IndexSpec: which positions it covers. Thread: the device thread.
#pragma once

#include "nn/backend/float_vector.h"

namespace pippin::nn {

struct LatentSpec {
  int heads = 0;
  int rank = 0;     // R: compressed values of a position, from which keys and values are made
  int rope = 0;     // P: values of a key that turn with the position, shared by all heads
  int plain = 0;    // N: values of a head's key that do not
  int value = 0;    // V: values of a head's value
  float scale = 0;  // of the scores
  bool rope_interleaved = true;  // pairs (2i, 2i + 1) instead of (i, i + P / 2)
  float rope_magnitude = 1;
  FloatVector inv_freq;  // [P / 2]
  FloatVector key_up;    // [H, N, R]: a head's key is the sum over R
  FloatVector value_up;  // [H, R, V]: a head's value is the sum over R
};

struct IndexSpec {
  int heads = 0;
  int dim = 0;                    // D of queries and keys
  int rope = 0;                   // P: their first values, which turn with the position
  int top = 0;                    // positions that attention covers, at most
  bool rope_interleaved = false;  // pairs (2i, 2i + 1) instead of (i, i + P / 2)
  float rope_magnitude = 1;
  FloatVector inv_freq;  // [P / 2]
};

}  // namespace pippin::nn
