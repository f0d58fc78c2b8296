#include <algorithm>
#include <optional>

#include "mlx/ops.h"
#include "nn/reference/positions.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

// x: [T, N, D] f32; norms each head.
mx::array head_norm(const mx::array& x, const FloatVector& weight, float eps) {
  if (weight.empty()) return x;
  const mx::array scale = mx::rsqrt(mx::add(mx::mean(mx::square(x), -1, true), mx::array(eps)));
  return mx::multiply(mx::multiply(x, scale), weight.array());
}

}  // namespace

mx::array ReferenceBackend::qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                                              const StepBatch& batch, KvLayerStore& store) {
  auto& kv = static_cast<DenseKv&>(store);
  const int tokens = static_cast<int>(batch.size()), dim = spec.head_dim;
  const int q_width = spec.heads * dim, kv_width = spec.kv_heads * dim;
  const auto heads_of = [&](int first, int heads) {
    const mx::array some = columns(qkv, first, heads * dim);
    return mx::astype(mx::reshape(some, {tokens, heads, dim}), mx::float32);
  };
  std::optional<Turns> turns;
  if (spec.rope_dims > 0) turns.emplace(batch.positions, spec.inv_freq, spec.rope_magnitude);
  const auto prepared = [&](mx::array heads, const FloatVector& weight) {
    if (!spec.norm_after_rope) heads = head_norm(heads, weight, spec.norm_eps);
    if (turns) heads = rotate(heads, spec.rope_dims, spec.rope_interleaved, *turns);
    return spec.norm_after_rope ? head_norm(heads, weight, spec.norm_eps) : heads;
  };
  const mx::array q = mx::astype(
      mx::reshape(prepared(heads_of(0, spec.heads), spec.q_norm), {tokens, q_width}), dtype_);
  if (spec.queries_only) return q;
  const mx::array k = prepared(heads_of(q_width, spec.kv_heads), spec.k_norm);
  const mx::array v =
      mx::reshape(columns(qkv, q_width + kv_width, kv_width), {tokens, 1, spec.kv_heads, dim});
  const mx::array slots = ints(batch.kv_of(kv).slots);
  const mx::Dtype stored = kv.k.dtype();
  kv.k = mx::scatter(kv.k, {slots},
                     mx::astype(mx::reshape(k, {tokens, 1, spec.kv_heads, dim}), stored), {0});
  kv.v = mx::scatter(kv.v, {slots}, mx::astype(v, stored), {0});
  return q;
}

mx::array ReferenceBackend::paged_attention(const AttentionSpec& spec, const mx::array& q,
                                            const StepBatch& batch, KvLayerStore& store) {
  const auto& kv = static_cast<const DenseKv&>(store);
  const int dim = spec.head_dim, groups = spec.heads / spec.kv_heads;
  std::vector<mx::array> outputs;
  const std::vector<AttentionRow>& rows_of_pool = batch.kv_of(kv).rows;
  for (const AttentionRow& row : rows_of_pool) {
    // Blocks before what is visible may belong to others by now.
    const int oldest = first_visible(row.start, spec.window, spec.chunk);
    const mx::array index = seen_slots(row, oldest);
    // [K, 1, D, S] and [K, 1, S, D]
    const mx::array k = mx::expand_dims(
        mx::transpose(mx::astype(mx::take(kv.k, index, 0), mx::float32), {1, 2, 0}), 1);
    const mx::array v = mx::expand_dims(
        mx::transpose(mx::astype(mx::take(kv.v, index, 0), mx::float32), {1, 0, 2}), 1);
    const mx::array rows = mx::astype(rows_of(q, row), mx::float32);
    // [K, G, t, D]
    const mx::array queries =
        mx::transpose(mx::reshape(rows, {row.tokens, spec.kv_heads, groups, dim}), {1, 2, 0, 3});
    mx::array scores = mx::multiply(mx::matmul(queries, k), mx::array(spec.scale));
    if (spec.soft_cap > 0)
      scores = mx::multiply(mx::tanh(mx::divide(scores, mx::array(spec.soft_cap))),
                            mx::array(spec.soft_cap));
    scores = mx::add(scores, causal_mask(row.start, row.tokens, oldest, spec.window, spec.chunk));
    if (!spec.sinks.empty()) {  // a score more, whose share is given to no value
      const mx::array sinks =
          mx::broadcast_to(mx::reshape(spec.sinks.array(), {spec.kv_heads, groups, 1, 1}),
                           {spec.kv_heads, groups, row.tokens, 1});
      scores = mx::concatenate({scores, sinks}, -1);
    }
    const int keys = index.shape(0);
    const mx::array weights = mx::slice(mx::softmax(scores, -1, true), mx::Shape{0, 0, 0, 0},
                                        mx::Shape{spec.kv_heads, groups, row.tokens, keys});
    const mx::array mixed = mx::matmul(weights, v);
    outputs.push_back(
        mx::reshape(mx::transpose(mixed, {2, 0, 1, 3}), {row.tokens, spec.heads * dim}));
  }
  // Padding tokens of a device step belong to no row.
  const int padding =
      q.shape(0) -
      (rows_of_pool.empty() ? 0 : rows_of_pool.back().row + rows_of_pool.back().tokens);
  if (padding > 0) outputs.push_back(mx::zeros({padding, spec.heads * dim}));
  return mx::astype(outputs.size() == 1 ? outputs[0] : mx::concatenate(outputs, 0), dtype_);
}

}  // namespace pippin::nn
