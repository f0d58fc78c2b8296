// Feed-forward layers, and gates of outputs. Thread: the device thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// (gate(x Wg^T) * (x Wu^T)) Wd^T, of a weight that holds Wg over Wu (Stacking::kGateUp) and of Wd,
/// with their biases. Shapes: [T, K] -> [T, E]. Tolerance: that of linear(), and 1e-5 relative.
/// Source: Shazeer, GLU Variants Improve Transformer, 2020.
mx::array feed_forward(Backend& on, Gate gate, const LinearWeight& gate_up,
                       const LinearWeight& down, const mx::array& x);

/// activation(x Wu^T) Wd^T, with their biases: a feed-forward layer without a gate. Shapes:
/// [T, K] -> [T, E]. Tolerance: as feed_forward().
mx::array plain_feed_forward(Backend& on, Gate activation, const LinearWeight& up,
                             const LinearWeight& down, const mx::array& x);

/// The activation, value by value. Shapes: any -> the same. Tolerance: 1e-6 relative.
mx::array xielu(Backend& on, const Xielu& curve, const mx::array& x);

/// gate(by) * x, value by value. Shapes: by [T, N] or [T, 1], x [T, N] -> [T, N].
mx::array gate(Backend& on, Gate gate, const mx::array& by, const mx::array& x);

}  // namespace pippin::nn
