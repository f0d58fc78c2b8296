// feed_forward: a gated feed-forward layer. Thread: the device thread.
#pragma once

#include "nn/ops/linear.h"

namespace pippin::nn {

using Gate = cpu::Gate;

/// (gate(x Wg^T) * (x Wu^T)) Wd^T, of a weight that holds Wg over Wu (paired, on the CPU), and of
/// Wd, with their biases. Shapes: [T, K] -> [T, E]. Tolerance: that of linear(), and 1e-5 relative.
/// Source: Shazeer, GLU Variants Improve Transformer, 2020.
mx::array feed_forward(const Context& ctx, Gate gate, const LinearWeight& gate_up,
                       const LinearWeight& down, const mx::array& x);
/// gate(x[:, :F]) * x[:, F:], where it is a step of its own: not on the CPU. Shapes: [T, 2 F] ->
/// [T, F].
mx::array gated_activation(const Context& ctx, Gate gate, const mx::array& x);
mx::array gated_activation_ref(const Context& ctx, Gate gate, const mx::array& x);

}  // namespace pippin::nn
