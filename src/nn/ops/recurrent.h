// Layers that fold what they have seen into a state of fixed size: convolutions, the delta rule,
// Mamba. Each row of the step goes on from its own state, and leaves it behind its last token. A
// row that begins at position 0 begins from zeros; tokens of no row give zeros. Thread: the device
// thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// y[t] = bias + sum over j of weight[j] * x[t - taps + 1 + j], channel by channel; then silu where
/// the spec says so. Shapes: x [T, C] (gated: [T, 3 C]) -> [T, C]; state: conv [taps - 1, C].
/// Tolerance: 1e-5 of the largest value.
mx::array causal_conv(Backend& on, const ConvSpec& spec, const Columns& x, const StepBatch& batch,
                      KvLayerStore& state);

/// For each head, with k and q of length 1 and q scaled by 1 / sqrt(D): S = exp(decay * softplus(a
/// + dt_bias)) * S; S += k (sigmoid(b) * (v - S^T k))^T; y = S^T q. Shapes: qkv [T, 2 K D + H V],
/// ab [T, 2 H] (a of all heads, then b) -> [T, H V]; state: [H, D, V]. qkv may be changed.
/// Tolerance: 1e-4 of the largest value. Source: Yang et al., Gated Delta Networks, 2024.
mx::array gated_delta_rule(Backend& on, const DeltaRuleSpec& spec, const mx::array& qkv,
                           const Columns& ab, const StepBatch& batch, KvLayerStore& state);

/// For each head, with step = clamp(softplus(dt_factor * dt + dt_bias), dt_min, dt_max): S =
/// exp(decay * step) * S + B (step * x)^T; y = S^T C + skip * x. Shapes: xbc [T, H P + 2 G N], dt
/// [T, H] -> [T, H P]; state: [H, N, P]. Tolerance: 1e-4 of the largest value. Source: Dao and Gu,
/// Transformers are SSMs, 2024.
mx::array ssd_scan(Backend& on, const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                   const StepBatch& batch, KvLayerStore& state);

/// For each channel c, with step = softplus(dt): s[n] = exp(decay[n, c] * step) * s[n] + B[n] *
/// step
/// * x; y = sum of C[n] s[n] + skip * x. Shapes: x [T, C], dt [T, C], bc [T, 2 N] -> [T, C]; state:
/// [1, N, C]. Tolerance: 1e-4 of the largest value. Source: Gu and Dao, Mamba, 2023.
mx::array mamba_scan(Backend& on, const MambaSpec& spec, const mx::array& x, const mx::array& dt,
                     const mx::array& bc, const StepBatch& batch, KvLayerStore& state);

/// Shapes: x [T, E], gate [T, E] -> [T, E]. Tolerance: 1e-5 relative.
mx::array gated_norm(Backend& on, const GatedNormSpec& spec, const mx::array& x,
                     const Columns& gate);

}  // namespace pippin::nn
