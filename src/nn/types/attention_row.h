// AttentionRow: one sequence's part of a step. Thread: any.
#pragma once

#include <cstdint>

namespace pippin::nn {

/// Its T tokens lie at rows [row, row + tokens) of the step's activations, at positions [start,
/// start + tokens).
struct AttentionRow {
  int row = 0;
  int tokens = 0;
  int start = 0;
  const int32_t* blocks = nullptr;  // block table, covers start + tokens positions
};

}  // namespace pippin::nn
