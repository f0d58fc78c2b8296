// linear: dense or quantised projection, several outputs merged along N at load. Thread: the device
// thread.
#pragma once

#include <vector>

#include "nn/backend/backend.h"

namespace pippin::nn {

/// y = x W^T + bias. Shapes: [T, K] -> [T, N].
/// Tolerance against the reference: int8 activations, about 1 % of the row's largest output; exact
/// up to rounding with f32 activations.
mx::array linear(Backend& on, const LinearWeight& weight, const mx::array& x);

/// Rows of an embedding table for the batch's tokens. Shapes: [T] -> [T, E], times `scale`.
mx::array embed(Backend& on, const LinearWeight& table, const StepBatch& batch, float scale);

/// The rows of x that `rows` names, in that order. Shapes: [T, E], R indices -> [R, E]; on a GPU
/// also [T] -> [R].
mx::array gather(Backend& on, const mx::array& x, const std::vector<int32_t>& rows);

/// cap * tanh(x / cap), of logits (Gemma 2). Shapes: any -> the same.
mx::array soft_cap(Backend& on, const mx::array& x, float cap);

/// x * factor. Shapes: any -> the same.
mx::array scale(Backend& on, const mx::array& x, float factor);

/// Row t of x times factors[t]. Shapes: [T, E], T factors -> [T, E].
mx::array scale_rows(Backend& on, const mx::array& x, const std::vector<float>& factors);

/// Columns [first, first + count) of x. Shapes: [T, N] -> [T, count].
mx::array columns(Backend& on, const mx::array& x, int first, int count);

}  // namespace pippin::nn
