// What a layer's recurrence is, apart from its projections, and the columns that it reads. Plain
// structs. Thread: the device thread.
#pragma once

#include <limits>

#include "mlx/array.h"
#include "nn/backend/float_vector.h"

namespace pippin::nn {

/// Taps of a convolution that every backend can keep.
inline constexpr int kConvTapsMax = 8;

/// Columns [first, first + count) of an array [T, N], which it borrows.
struct Columns {
  const mx::array& of;
  int first = 0, count = 0;
};

/// A causal convolution over each channel by itself. Its state holds the last taps - 1 inputs.
struct ConvSpec {
  int channels = 0;
  int taps = 0;        // inputs that an output sees, its own included
  FloatVector weight;  // [taps, channels], the oldest input's first
  FloatVector bias;    // [channels], or empty
  bool silu = false;   // of the outputs
  /// Columns are B, C and X, of `channels` each: C * conv(B * X) (LFM 2).
  bool gated = false;
};

/// The gated delta rule. A head's matrix has key_dim rows and value_dim columns.
struct DeltaRuleSpec {
  int key_heads = 0, heads = 0;  // of q and k; of v
  int key_dim = 0, value_dim = 0;
  /// Head h takes q and k of head h % key_heads instead of h / (heads / key_heads).
  bool keys_tiled = false;
  FloatVector decay;    // [heads] -exp(A_log)
  FloatVector dt_bias;  // [heads]
};

/// Mamba 2's state-space model. A head's matrix has `state` rows and head_dim columns.
struct SsdSpec {
  int heads = 0, head_dim = 0;
  int groups = 0;  // heads that follow each other share B and C
  int state = 0;
  FloatVector decay;          // [heads] -exp(A_log)
  FloatVector dt_bias, skip;  // [heads]
  float dt_factor = 1;        // of the step sizes, before their bias
  float dt_min = 0, dt_max = std::numeric_limits<float>::infinity();
};

/// Mamba 1's selective scan: a state of `state` values for each channel.
struct MambaSpec {
  int channels = 0, state = 0;
  FloatVector decay;  // [state, channels] -exp(A_log), transposed
  FloatVector skip;   // [channels]
};

/// An RMS norm of groups of columns beside a gate of silu.
struct GatedNormSpec {
  FloatVector weight;  // [E]; empty: the gate alone
  int group = 0;       // columns that are normed together; divides E
  float eps = 1e-6f;
  bool gate_first = false;  // norm(x * silu(gate)) * weight, else norm(x) * weight * silu(gate)
  float gate_factor = 1;    // of the gate, before silu
};

}  // namespace pippin::nn
