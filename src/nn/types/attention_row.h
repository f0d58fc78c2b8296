// AttentionRow: one sequence's part of a step, and which keys its queries see. Thread: any.
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

/// Returns the first position that a query at `position` sees: with a window, of so many up to its
/// own; with a chunk, of those that begin at a multiple of it. Zero: there is none.
constexpr int first_visible(int position, int window, int chunk) {
  if (chunk > 0) return position / chunk * chunk;
  return window > 0 && position >= window ? position - window + 1 : 0;
}

}  // namespace pippin::nn
