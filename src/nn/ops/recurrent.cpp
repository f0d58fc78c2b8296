// The checks of recurrent operations.
#include "nn/ops/recurrent.h"

#include "base/check.h"

namespace pippin::nn {
namespace {

bool within(const Columns& columns, int rows) {
  return columns.of.ndim() == 2 && columns.of.shape(0) == rows && columns.first >= 0 &&
         columns.first + columns.count <= columns.of.shape(1);
}

bool has_matrices(const KvLayerStore& state, int heads, int rows, int columns) {
  const StateShape& shape = state.geometry.state;
  return shape.heads == heads && shape.rows == rows && shape.columns == columns;
}

}  // namespace

mx::array causal_conv(Backend& on, const ConvSpec& spec, const Columns& x, const StepBatch& batch,
                      KvLayerStore& state) {
  CHECK(
      spec.taps >= 2 && spec.taps <= kConvTapsMax &&
          spec.weight.size() == static_cast<size_t>(spec.taps) * static_cast<size_t>(spec.channels),
      "causal_conv: a weight for each tap and channel");
  CHECK(within(x, x.of.shape(0)) && x.count == spec.channels * (spec.gated ? 3 : 1),
        "causal_conv: x must be [T, C] or [T, 3 C]");
  CHECK(state.geometry.state.conv_positions == spec.taps - 1 &&
            state.geometry.state.conv_channels == spec.channels,
        "causal_conv: the state must hold taps - 1 inputs");
  return on.causal_conv(spec, x, batch, state);
}

mx::array gated_delta_rule(Backend& on, const DeltaRuleSpec& spec, const mx::array& qkv,
                           const Columns& ab, const StepBatch& batch, KvLayerStore& state) {
  CHECK(spec.heads % spec.key_heads == 0 && spec.key_dim % 16 == 0 && spec.value_dim % 16 == 0,
        "gated_delta_rule: the loader checks heads");
  CHECK(qkv.ndim() == 2 &&
            qkv.shape(1) == 2 * spec.key_heads * spec.key_dim + spec.heads * spec.value_dim,
        "gated_delta_rule: qkv must be [T, 2 K D + H V]");
  CHECK(within(ab, qkv.shape(0)) && ab.count == 2 * spec.heads,
        "gated_delta_rule: ab must be [T, 2 H]");
  CHECK(has_matrices(state, spec.heads, spec.key_dim, spec.value_dim),
        "gated_delta_rule: the state must be [H, D, V]");
  return on.gated_delta_rule(spec, qkv, ab, batch, state);
}

mx::array ssd_scan(Backend& on, const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                   const StepBatch& batch, KvLayerStore& state) {
  CHECK(spec.heads % spec.groups == 0 && spec.head_dim % 16 == 0,
        "ssd_scan: the loader checks heads");
  CHECK(
      xbc.ndim() == 2 && xbc.shape(1) == spec.heads * spec.head_dim + 2 * spec.groups * spec.state,
      "ssd_scan: xbc must be [T, H P + 2 G N]");
  CHECK(within(dt, xbc.shape(0)) && dt.count == spec.heads, "ssd_scan: dt must be [T, H]");
  CHECK(has_matrices(state, spec.heads, spec.state, spec.head_dim),
        "ssd_scan: the state must be [H, N, P]");
  return on.ssd_scan(spec, xbc, dt, batch, state);
}

mx::array mamba_scan(Backend& on, const MambaSpec& spec, const mx::array& x, const mx::array& dt,
                     const mx::array& bc, const StepBatch& batch, KvLayerStore& state) {
  CHECK(spec.channels % 16 == 0, "mamba_scan: the loader checks channels");
  CHECK(x.ndim() == 2 && x.shape(1) == spec.channels && dt.shape() == x.shape(),
        "mamba_scan: x and dt must be [T, C]");
  CHECK(bc.shape(0) == x.shape(0) && bc.shape(1) == 2 * spec.state,
        "mamba_scan: bc must be [T, 2 N]");
  CHECK(has_matrices(state, 1, spec.state, spec.channels),
        "mamba_scan: the state must be [1, N, C]");
  return on.mamba_scan(spec, x, dt, bc, batch, state);
}

mx::array gated_norm(Backend& on, const GatedNormSpec& spec, const mx::array& x,
                     const Columns& gate) {
  CHECK(within(gate, x.shape(0)) && gate.count == x.shape(1), "gated_norm: a gate for each value");
  CHECK(spec.weight.empty() || (static_cast<int>(spec.weight.size()) == x.shape(1) &&
                                spec.group > 0 && x.shape(1) % spec.group == 0),
        "gated_norm: x must be whole groups");
  return on.gated_norm(spec, x, gate);
}

}  // namespace pippin::nn
