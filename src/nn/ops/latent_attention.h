// latent_attention: attention over compressed keys and values (multi-head latent attention, MLA),
// and select_positions: which positions it covers (sparse attention, DSA). Thread: the device
// thread.
#pragma once

#include <optional>

#include "nn/backend/backend.h"

namespace pippin::nn {

/// Writes each position's key, whose first P values are turned, and chooses the positions with the
/// largest scores for each token. A score is the sum over heads of weight * max(0, q . k); of equal
/// ones the earlier position counts. Factors that all scores share are left out. Shapes: q [T, H
/// D], k [T, D], weights [T, H] -> [T, top] int32, positions in ascending order. A token that sees
/// fewer has all of them, and behind them values without a meaning. Returns nothing where every
/// token of the step is such a one. Tolerance: f16 rounding of keys, which may swap about equal
/// scores. Source: DeepSeek-AI, DeepSeek-V3.2, 2025, section 2.1. Its keys are rotated by a
/// Hadamard matrix and rounded to FP8; here they are not, and without rounding the rotation changes
/// no score.
std::optional<mx::array> select_positions(Backend& on, const IndexSpec& spec, const mx::array& q,
                                          const mx::array& k, const mx::array& weights,
                                          const StepBatch& batch, KvLayerStore& store);

/// Writes each position's compressed values and its turned key, R + P values in all, and attends in
/// the absorbed form: queries are brought to the compressed space, and what they gather back from
/// it. Shapes: q [T, H (N + P)], kv [T, R + P] with the first R normed -> [T, H V]. Tolerance: f16
/// rounding of what is kept, about 2e-3 of the largest value. `selected`: what select_positions()
/// chose; nothing: every token sees all positions up to its own.
/// Source: DeepSeek-AI, DeepSeek-V2, 2024, section 2.1 and appendix C.
mx::array latent_attention(Backend& on, const LatentSpec& spec, const mx::array& q,
                           const mx::array& kv, const std::optional<mx::array>& selected,
                           const StepBatch& batch, KvLayerStore& store);

}  // namespace pippin::nn
