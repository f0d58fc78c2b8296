// gated_activation: the inside of a gated feed-forward layer. Thread: the device thread.
#pragma once

#include "nn/cpu/attention.h"
#include "nn/ops/context.h"

namespace pippin::nn {

using Gate = cpu::Gate;

/// gate(x[:, :F]) * x[:, F:]. Shapes: [T, 2 F] -> [T, F]. Tolerance: 1e-5 relative. Source:
/// Shazeer, GLU Variants Improve Transformer, 2020.
mx::array gated_activation(const Context& ctx, Gate gate, const mx::array& x);
mx::array gated_activation_ref(const Context& ctx, Gate gate, const mx::array& x);

}  // namespace pippin::nn
