// ReferenceBackend: recurrences, token by token, by their definitions.
#include <cmath>
#include <utility>

#include "mlx/ops.h"
#include "nn/reference/positions.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

// Rows that are computed together: one of any length, or all of a step where each has one token.
struct Run {
  int first = 0;  // of the step's tokens
  int tokens = 0;
  std::vector<int32_t> states, fresh;  // of each row: its state; whether it begins

  int rows() const { return static_cast<int>(states.size()); }
};

std::vector<Run> runs_of(const std::vector<AttentionRow>& rows) {
  std::vector<Run> runs;
  for (const AttentionRow& row : rows) {
    const bool joins = row.tokens == 1 && !runs.empty() && runs.back().tokens == 1;
    if (!joins) runs.push_back({row.row, row.tokens, {}, {}});
    runs.back().states.push_back(row.blocks[0]);
    runs.back().fresh.push_back(row.start == 0 ? 1 : 0);
  }
  return runs;
}

// Columns of a run's tokens. Shapes: [T, N] -> [rows, tokens, count] f32.
mx::array inputs_of(const Run& run, const Columns& x) {
  const int all = run.rows() * run.tokens;
  const mx::array part =
      mx::slice(x.of, mx::Shape{run.first, x.first}, mx::Shape{run.first + all, x.first + x.count});
  return mx::astype(mx::reshape(part, {run.rows(), run.tokens, x.count}), mx::float32);
}

// The states of a run's rows, as they stand before it. Shapes: [P, ...] -> [rows, ...].
mx::array states_of(const Run& run, const mx::array& stored) {
  const mx::array states = mx::take(stored, ints(run.states), 0);
  mx::Shape each(stored.ndim(), 1);
  each[0] = run.rows();
  // What the memory of a new state holds may be no number.
  return mx::where(mx::reshape(mx::equal(ints(run.fresh), mx::array(1)), each), mx::array(0.0f),
                   states);
}

void put_states(const Run& run, mx::array& stored, const mx::array& states) {
  mx::Shape each = states.shape();
  each.insert(each.begin() + 1, 1);
  stored = mx::scatter(stored, {ints(run.states)}, mx::reshape(states, each), {0});
}

// Token t of [rows, tokens, ...].
mx::array token(const mx::array& x, int t) { return mx::take(x, t, 1); }

mx::array silu(const mx::array& x) { return mx::multiply(x, mx::sigmoid(x)); }
mx::array softplus(const mx::array& x) { return mx::logaddexp(x, mx::array(0.0f)); }

// Puts the runs' results together. Shapes: [rows, tokens, ...] each -> [T, width].
mx::array joined(std::vector<mx::array> parts, int width, int tokens, mx::Dtype dtype) {
  int there = 0;
  for (mx::array& part : parts) {
    part = mx::reshape(part, {-1, width});
    there += part.shape(0);
  }
  // Padding tokens of a device step belong to no row.
  if (there < tokens) parts.push_back(mx::zeros({tokens - there, width}));
  return mx::astype(parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0), dtype);
}

// Columns [first, first + count) of the last of three dimensions.
mx::array part(const mx::array& x, int first, int count) {
  return mx::slice(x, mx::Shape{0, 0, first}, mx::Shape{x.shape(0), x.shape(1), first + count});
}

}  // namespace

mx::array ReferenceBackend::causal_conv(const ConvSpec& spec, const Columns& x,
                                        const StepBatch& batch, KvLayerStore& state) {
  auto& states = static_cast<DenseState&>(state);
  const int channels = spec.channels, before = spec.taps - 1;
  const mx::array weight = mx::reshape(spec.weight.array(), {spec.taps, channels});
  std::vector<mx::array> outputs;
  for (const Run& run : runs_of(batch.kv_of(state).rows)) {
    const mx::array all = inputs_of(run, x);
    const mx::array seen =
        spec.gated ? mx::multiply(part(all, 0, channels), part(all, 2 * channels, channels)) : all;
    const mx::array line = mx::concatenate({states_of(run, states.conv), seen}, 1);
    const auto from = [&](int first, int count) {
      return mx::slice(line, mx::Shape{0, first, 0},
                       mx::Shape{run.rows(), first + count, channels});
    };
    mx::array y = spec.bias.empty() ? mx::array(0.0f) : spec.bias.array();
    for (int j = 0; j < spec.taps; ++j)
      y = mx::add(y, mx::multiply(from(j, run.tokens), mx::take(weight, j, 0)));
    if (spec.silu) y = silu(y);
    if (spec.gated) y = mx::multiply(y, part(all, channels, channels));
    put_states(run, states.conv, from(run.tokens, before));
    outputs.push_back(y);
  }
  return joined(std::move(outputs), channels, x.of.shape(0), dtype_);
}

mx::array ReferenceBackend::gated_delta_rule(const DeltaRuleSpec& spec, const mx::array& qkv,
                                             const Columns& ab, const StepBatch& batch,
                                             KvLayerStore& state) {
  auto& states = static_cast<DenseState&>(state);
  const int keys = spec.key_heads * spec.key_dim, values = spec.heads * spec.value_dim;
  const int each = spec.heads / spec.key_heads;
  // [rows, tokens, H, D] of length 1, from K heads.
  const auto heads = [&](const mx::array& x) {
    const int rows = x.shape(0), tokens = x.shape(1);
    const mx::array split = mx::reshape(x, {rows, tokens, spec.key_heads, spec.key_dim});
    const mx::array unit = mx::multiply(
        split, mx::rsqrt(mx::add(mx::sum(mx::square(split), -1, true), mx::array(1e-6f))));
    if (!spec.keys_tiled) return mx::repeat(unit, each, 2);
    return mx::tile(unit, std::vector<int>{1, 1, each, 1});
  };
  std::vector<mx::array> outputs;
  for (const Run& run : runs_of(batch.kv_of(state).rows)) {
    const mx::array all = inputs_of(run, {qkv, 0, qkv.shape(1)}), raw = inputs_of(run, ab);
    const mx::array scale(1.0f / std::sqrt(static_cast<float>(spec.key_dim)));
    const mx::array q = mx::multiply(heads(part(all, 0, keys)), scale),
                    k = heads(part(all, keys, keys));
    const mx::array v = mx::reshape(part(all, 2 * keys, values),
                                    {run.rows(), run.tokens, spec.heads, spec.value_dim});
    const mx::array decay = mx::exp(mx::multiply(
        softplus(mx::add(part(raw, 0, spec.heads), spec.dt_bias.array())), spec.decay.array()));
    const mx::array beta = mx::sigmoid(part(raw, spec.heads, spec.heads));
    mx::array s = states_of(run, states.matrices);
    std::vector<mx::array> given;
    for (int t = 0; t < run.tokens; ++t) {
      const mx::array key = mx::expand_dims(token(k, t), -1),
                      query = mx::expand_dims(token(q, t), -1);
      s = mx::multiply(s, mx::expand_dims(token(decay, t), {-2, -1}));
      const mx::array known = mx::sum(mx::multiply(s, key), -2);
      const mx::array change =
          mx::multiply(mx::subtract(token(v, t), known), mx::expand_dims(token(beta, t), -1));
      s = mx::add(s, mx::multiply(key, mx::expand_dims(change, -2)));
      given.push_back(mx::sum(mx::multiply(s, query), -2));
    }
    put_states(run, states.matrices, s);
    outputs.push_back(mx::stack(given, 1));
  }
  return joined(std::move(outputs), values, qkv.shape(0), dtype_);
}

mx::array ReferenceBackend::ssd_scan(const SsdSpec& spec, const mx::array& xbc, const Columns& dt,
                                     const StepBatch& batch, KvLayerStore& state) {
  auto& states = static_cast<DenseState&>(state);
  const int inner = spec.heads * spec.head_dim, shared = spec.groups * spec.state;
  // [rows, tokens, H, N], from G groups.
  const auto heads = [&](const mx::array& x) {
    return mx::repeat(mx::reshape(x, {x.shape(0), x.shape(1), spec.groups, spec.state}),
                      spec.heads / spec.groups, 2);
  };
  std::vector<mx::array> outputs;
  for (const Run& run : runs_of(batch.kv_of(state).rows)) {
    const mx::array all = inputs_of(run, {xbc, 0, xbc.shape(1)});
    const mx::array x =
        mx::reshape(part(all, 0, inner), {run.rows(), run.tokens, spec.heads, spec.head_dim});
    const mx::array b = heads(part(all, inner, shared)),
                    c = heads(part(all, inner + shared, shared));
    const mx::array raw =
        mx::add(mx::multiply(inputs_of(run, dt), mx::array(spec.dt_factor)), spec.dt_bias.array());
    const mx::array step = mx::clip(softplus(raw), mx::array(spec.dt_min), mx::array(spec.dt_max));
    const mx::array decay = mx::exp(mx::multiply(step, spec.decay.array()));
    mx::array s = states_of(run, states.matrices);
    std::vector<mx::array> given;
    for (int t = 0; t < run.tokens; ++t) {
      const mx::array now = token(x, t);
      const mx::array taken = mx::multiply(now, mx::expand_dims(token(step, t), -1));
      s = mx::add(mx::multiply(s, mx::expand_dims(token(decay, t), {-2, -1})),
                  mx::multiply(mx::expand_dims(token(b, t), -1), mx::expand_dims(taken, -2)));
      const mx::array seen = mx::sum(mx::multiply(s, mx::expand_dims(token(c, t), -1)), -2);
      given.push_back(mx::add(seen, mx::multiply(now, mx::expand_dims(spec.skip.array(), -1))));
    }
    put_states(run, states.matrices, s);
    outputs.push_back(mx::stack(given, 1));
  }
  return joined(std::move(outputs), inner, xbc.shape(0), dtype_);
}

mx::array ReferenceBackend::mamba_scan(const MambaSpec& spec, const mx::array& x,
                                       const mx::array& dt, const mx::array& bc,
                                       const StepBatch& batch, KvLayerStore& state) {
  auto& states = static_cast<DenseState&>(state);
  const mx::array decay = mx::reshape(spec.decay.array(), {1, spec.state, spec.channels});
  std::vector<mx::array> outputs;
  for (const Run& run : runs_of(batch.kv_of(state).rows)) {
    const mx::array all = inputs_of(run, {x, 0, spec.channels}),
                    step = softplus(inputs_of(run, {dt, 0, spec.channels})),
                    both = inputs_of(run, {bc, 0, 2 * spec.state});
    mx::array s = mx::squeeze(states_of(run, states.matrices), 1);  // [rows, N, C]
    std::vector<mx::array> given;
    for (int t = 0; t < run.tokens; ++t) {
      const mx::array now = token(all, t), much = mx::expand_dims(token(step, t), 1);
      const mx::array pair = mx::expand_dims(token(both, t), -1);
      const auto half = [&](int first) {
        return mx::slice(pair, mx::Shape{0, first, 0},
                         mx::Shape{run.rows(), first + spec.state, 1});
      };
      s = mx::add(mx::multiply(s, mx::exp(mx::multiply(much, decay))),
                  mx::multiply(half(0), mx::multiply(much, mx::expand_dims(now, 1))));
      given.push_back(mx::add(mx::sum(mx::multiply(s, half(spec.state)), 1),
                              mx::multiply(now, spec.skip.array())));
    }
    put_states(run, states.matrices, mx::expand_dims(s, 1));
    outputs.push_back(mx::stack(given, 1));
  }
  return joined(std::move(outputs), spec.channels, x.shape(0), dtype_);
}

mx::array ReferenceBackend::gated_norm(const GatedNormSpec& spec, const mx::array& x,
                                       const Columns& gate) {
  const int tokens = x.shape(0), width = x.shape(1);
  const mx::array raw = mx::astype(columns(gate.of, gate.first, gate.count), mx::float32);
  const mx::array by = silu(mx::multiply(raw, mx::array(spec.gate_factor)));
  mx::array y = mx::astype(x, mx::float32);
  if (spec.weight.empty()) return mx::astype(mx::multiply(y, by), dtype_);
  if (spec.gate_first) y = mx::multiply(y, by);
  const mx::array grouped = mx::reshape(y, {tokens, width / spec.group, spec.group});
  const mx::array scale =
      mx::rsqrt(mx::add(mx::mean(mx::square(grouped), -1, true), mx::array(spec.eps)));
  y = mx::multiply(mx::reshape(mx::multiply(grouped, scale), {tokens, width}), spec.weight.array());
  if (!spec.gate_first) y = mx::multiply(y, by);
  return mx::astype(y, dtype_);
}

}  // namespace pippin::nn
