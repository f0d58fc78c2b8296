// What attention of the reference does by position: turning heads, and hiding later keys. Internal
// to nn/reference. Thread: the device thread.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/backend/float_vector.h"
#include "nn/types/attention_row.h"

namespace pippin::nn {

/// Shapes: [n] int32.
mx::array ints(const std::vector<int32_t>& values);

/// Returns where the positions from `oldest` on that a row sees lie. Shapes: [S] int32.
mx::array seen_slots(const AttentionRow& row, int oldest = 0);

/// Returns a row's tokens of a step's. Shapes: [T, width] -> [t, width].
mx::array rows_of(const mx::array& x, const AttentionRow& row);

/// Cosines and sines of position * inv_freq, times `magnitude`. Shapes: [T, 1, pairs] f32.
struct Turns {
  Turns(const std::vector<int32_t>& positions, const FloatVector& inv_freq, float magnitude);
  mx::array cos, sin;
};

/// Turns the first `dims` of each head: pairs (2i, 2i + 1) if interleaved, else (i, i + dims / 2).
/// Shapes: [T, N, D] f32 -> [T, N, D].
mx::array rotate(const mx::array& x, int dims, bool interleaved, const Turns& turns);

/// 0 where a query at start + i sees a key, -inf where it does not. The first key is at position
/// `oldest`. Shapes: [t, S].
mx::array causal_mask(int start, int tokens, int oldest = 0, int window = 0, int chunk = 0);

}  // namespace pippin::nn
