// CpuBackend: recurrent layers.
#include "nn/cpu/recurrent.h"

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/kernels.h"

namespace pippin::nn {
namespace {

// An operand on the host, kept alive beside its rows.
struct Operand {
  explicit Operand(const mx::array& x) : array(host_ready(x)) {}
  explicit Operand(const Columns& x) : Operand(x.of) { first = x.first; }
  cpu::TokenRows from(int column) const {
    return {array.data<float>() + first + column, array.shape(1)};
  }
  cpu::TokenRows rows() const { return from(0); }

  mx::array array;
  int first = 0;
};

cpu::StateArray conv_states(KvLayerStore& store) {
  const auto& states = static_cast<CpuState&>(store);
  return {states.conv(0), store.geometry.state.values()};
}
cpu::StateArray matrix_states(KvLayerStore& store) {
  const auto& states = static_cast<CpuState&>(store);
  return {states.matrices(0), store.geometry.state.values()};
}

}  // namespace

mx::array CpuBackend::causal_conv(const ConvSpec& spec, const Columns& x, const StepBatch& batch,
                                  KvLayerStore& state) {
  const Operand input(x);
  mx::array out = allocate({x.of.shape(0), spec.channels});
  cpu::ConvArgs args{.channels = spec.channels,
                     .taps = spec.taps,
                     .weight = spec.weight.data(),
                     .bias = spec.bias.data(),
                     .silu = spec.silu,
                     .x = input.from(spec.gated ? 2 * spec.channels : 0),
                     .states = conv_states(state),
                     .rows = batch.kv_of(state).rows,
                     .out = out.data<float>()};
  if (spec.gated) {
    args.b = input.from(0);
    args.c = input.from(spec.channels);
  }
  cpu::causal_conv(cpu::kernels(isa_).recurrent, args, threads_);
  return out;
}

mx::array CpuBackend::gated_delta_rule(const DeltaRuleSpec& spec, const mx::array& qkv,
                                       const Columns& ab, const StepBatch& batch,
                                       KvLayerStore& state) {
  mx::array inputs = host_ready(qkv);
  const Operand raw(ab);
  mx::array out = allocate({inputs.shape(0), spec.heads * spec.value_dim});
  mx::array scratch = allocate({inputs.shape(0), 2 * spec.heads});
  cpu::gated_delta_rule(cpu::kernels(isa_).recurrent,
                        {.key_heads = spec.key_heads,
                         .heads = spec.heads,
                         .key_dim = spec.key_dim,
                         .value_dim = spec.value_dim,
                         .keys_tiled = spec.keys_tiled,
                         .decay = spec.decay.data(),
                         .dt_bias = spec.dt_bias.data(),
                         .qkv = inputs.data<float>(),
                         .ab = raw.rows(),
                         .states = matrix_states(state),
                         .rows = batch.kv_of(state).rows,
                         .out = out.data<float>(),
                         .scratch = scratch.data<float>()},
                        threads_);
  return out;
}

mx::array CpuBackend::ssd_scan(const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                               const StepBatch& batch, KvLayerStore& state) {
  const Operand inputs(xbc), raw(dt);
  mx::array out = allocate({xbc.shape(0), spec.heads * spec.head_dim});
  mx::array scratch = allocate({xbc.shape(0), 2 * spec.heads});
  cpu::ssd_scan(cpu::kernels(isa_).recurrent,
                {.heads = spec.heads,
                 .head_dim = spec.head_dim,
                 .groups = spec.groups,
                 .state = spec.state,
                 .decay = spec.decay.data(),
                 .dt_bias = spec.dt_bias.data(),
                 .skip = spec.skip.data(),
                 .dt_factor = spec.dt_factor,
                 .dt_min = spec.dt_min,
                 .dt_max = spec.dt_max,
                 .xbc = inputs.rows().first,
                 .dt = raw.rows(),
                 .states = matrix_states(state),
                 .rows = batch.kv_of(state).rows,
                 .out = out.data<float>(),
                 .scratch = scratch.data<float>()},
                threads_);
  return out;
}

mx::array CpuBackend::mamba_scan(const MambaSpec& spec, const mx::array& x, const mx::array& dt,
                                 const mx::array& bc, const StepBatch& batch, KvLayerStore& state) {
  const Operand inputs(x), steps(dt), both(bc);
  mx::array out = allocate(x.shape());
  cpu::mamba_scan(cpu::kernels(isa_).recurrent,
                  {.channels = spec.channels,
                   .state = spec.state,
                   .decay = spec.decay.data(),
                   .skip = spec.skip.data(),
                   .x = inputs.rows(),
                   .dt = steps.rows(),
                   .bc = both.rows(),
                   .states = matrix_states(state),
                   .rows = batch.kv_of(state).rows,
                   .out = out.data<float>()},
                  threads_);
  return out;
}

mx::array CpuBackend::gated_norm(const GatedNormSpec& spec, const mx::array& x,
                                 const Columns& gate) {
  const Operand inputs(x), by(gate);
  mx::array out = allocate(x.shape());
  cpu::gated_norm(cpu::kernels(isa_).recurrent,
                  {.weight = spec.weight.data(),
                   .width = x.shape(1),
                   .group = spec.group,
                   .eps = spec.eps,
                   .gate_factor = spec.gate_factor,
                   .gate_first = spec.gate_first,
                   .x = inputs.rows(),
                   .gate = by.rows(),
                   .tokens = x.shape(0),
                   .out = out.data<float>()},
                  threads_);
  return out;
}

}  // namespace pippin::nn
