// feed_forward: a gated feed-forward layer. Thread: the device thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// (gate(x Wg^T) * (x Wu^T)) Wd^T, of a weight that holds Wg over Wu (Stacking::kGateUp) and of Wd,
/// with their biases. Shapes: [T, K] -> [T, E]. Tolerance: that of linear(), and 1e-5 relative.
/// Source: Shazeer, GLU Variants Improve Transformer, 2020.
mx::array feed_forward(Backend& on, Gate gate, const LinearWeight& gate_up,
                       const LinearWeight& down, const mx::array& x);

}  // namespace pippin::nn
