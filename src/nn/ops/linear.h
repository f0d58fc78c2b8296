// linear: dense or quantised projection, several outputs merged along N at load. Owner of weights:
// the model. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nn/ops/context.h"
#include "nn/ops/step_batch.h"

namespace pippin::nn {

/// A weight [N, K] in the form its backend wants: packed for the CPU kernels, or a dense array for
/// stock ops.
struct LinearWeight {
  int rows = 0;     // N
  int columns = 0;  // K
  std::shared_ptr<const cpu::PackedLinear> packed;
  std::shared_ptr<const cpu::PackedLinear> next;  // the product behind this one, or null
  std::optional<mx::array> dense;                 // [N, K]
  std::optional<mx::array> dense_transposed;      // [K, N], a view of the same
  FloatVector bias;                               // [N], or empty
};

/// y = x W^T + bias. Shapes: [T, K] -> [T, N], in the context's dtype.
/// Tolerance against the stock path: int8 activations, about 1 % of the row's largest output; exact
/// up to rounding with f32 activations.
mx::array linear(const Context& ctx, const LinearWeight& weight, const mx::array& x);
mx::array linear_ref(const Context& ctx, const LinearWeight& weight, const mx::array& x);

/// Rows of an embedding table for the batch's tokens. Shapes: [T] -> [T, E], times `scale`.
mx::array embed(const Context& ctx, const LinearWeight& table, const StepBatch& batch, float scale);
mx::array embed_ref(const Context& ctx, const LinearWeight& table, const StepBatch& batch,
                    float scale);

/// The rows of x that `rows` names, in that order. Shapes: [T, E], R indices -> [R, E]; on a GPU
/// also [T] -> [R].
mx::array take_rows(const Context& ctx, const mx::array& x, const std::vector<int32_t>& rows);
mx::array take_rows_ref(const mx::array& x, const std::vector<int32_t>& rows);

/// cap * tanh(x / cap), of logits (Gemma 2). Shapes: any -> the same.
mx::array soft_cap(const Context& ctx, const mx::array& x, float cap);
mx::array soft_cap_ref(const mx::array& x, float cap);

}  // namespace pippin::nn
