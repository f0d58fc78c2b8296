#include <algorithm>
#include <limits>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

mx::array ints(const std::vector<int32_t>& values) {
  return mx::array(values.begin(), mx::Shape{static_cast<int>(values.size())}, mx::int32);
}

// x: [T, N, D] f32; norms each head.
mx::array head_norm(const mx::array& x, const FloatVector& weight, float eps) {
  if (weight.empty()) return x;
  const mx::array scale = mx::rsqrt(mx::add(mx::mean(mx::square(x), -1, true), mx::array(eps)));
  return mx::multiply(mx::multiply(x, scale), weight.array());
}

// x: [T, N, D] f32. Rotates the first rope_dims of each head by position * inv_freq.
mx::array rotate(const mx::array& x, const AttentionSpec& spec, const mx::array& cos,
                 const mx::array& sin) {
  if (spec.rope_dims == 0) return x;
  const int tokens = x.shape(0), heads = x.shape(1), dims = spec.rope_dims, half = dims / 2;
  const auto part = [&](int from, int to) {
    return mx::slice(x, mx::Shape{0, 0, from}, mx::Shape{tokens, heads, to});
  };
  const mx::array rest = part(dims, x.shape(2));
  if (spec.rope_interleaved) {
    const mx::array pairs = mx::reshape(part(0, dims), {tokens, heads, half, 2});
    const mx::array a = mx::take(pairs, 0, 3), b = mx::take(pairs, 1, 3);
    const mx::array turned = mx::stack({mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin)),
                                        mx::add(mx::multiply(a, sin), mx::multiply(b, cos))},
                                       3);
    return mx::concatenate({mx::reshape(turned, {tokens, heads, dims}), rest}, 2);
  }
  const mx::array a = part(0, half), b = part(half, dims);
  return mx::concatenate({mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin)),
                          mx::add(mx::multiply(a, sin), mx::multiply(b, cos)), rest},
                         2);
}

// [t, S]: 0 where a query sees a key, -inf where it does not. The first key is at position
// `oldest`.
mx::array causal_mask(int start, int tokens, int oldest, int window) {
  const int end = start + tokens;
  const mx::array q = mx::reshape(mx::arange(start, end, mx::int32), {tokens, 1});
  const mx::array k = mx::reshape(mx::arange(oldest, end, mx::int32), {1, end - oldest});
  mx::array seen = mx::less_equal(k, q);
  if (window > 0) seen = mx::logical_and(seen, mx::greater(k, mx::subtract(q, mx::array(window))));
  return mx::where(seen, mx::array(0.0f), mx::array(-std::numeric_limits<float>::infinity()));
}

}  // namespace

mx::array ReferenceBackend::qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                                              const StepBatch& batch, KvLayerStore& store) {
  auto& kv = static_cast<DenseKv&>(store);
  const int tokens = static_cast<int>(batch.size()), dim = spec.head_dim;
  const int q_width = spec.heads * dim, kv_width = spec.kv_heads * dim;
  mx::array q =
      mx::astype(mx::reshape(columns(qkv, 0, q_width), {tokens, spec.heads, dim}), mx::float32);
  mx::array k = mx::astype(
      mx::reshape(columns(qkv, q_width, kv_width), {tokens, spec.kv_heads, dim}), mx::float32);
  const mx::array v =
      mx::reshape(columns(qkv, q_width + kv_width, kv_width), {tokens, 1, spec.kv_heads, dim});
  const auto norm = [&] {
    q = head_norm(q, spec.q_norm, spec.norm_eps);
    k = head_norm(k, spec.k_norm, spec.norm_eps);
  };
  if (!spec.norm_after_rope) norm();
  if (spec.rope_dims > 0) {
    const mx::array angle =
        mx::multiply(mx::reshape(mx::astype(ints(batch.positions), mx::float32), {tokens, 1, 1}),
                     spec.inv_freq.array());
    const mx::array magnitude(spec.rope_magnitude);
    const mx::array cos = mx::multiply(mx::cos(angle), magnitude),
                    sin = mx::multiply(mx::sin(angle), magnitude);
    q = rotate(q, spec, cos, sin);
    k = rotate(k, spec, cos, sin);
  }
  if (spec.norm_after_rope) norm();
  const mx::array slots = ints(batch.kv_of(kv).slots);
  const mx::Dtype stored = kv.k.dtype();
  kv.k = mx::scatter(kv.k, {slots},
                     mx::astype(mx::reshape(k, {tokens, 1, spec.kv_heads, dim}), stored), {0});
  kv.v = mx::scatter(kv.v, {slots}, mx::astype(v, stored), {0});
  return mx::astype(mx::reshape(q, {tokens, q_width}), dtype_);
}

mx::array ReferenceBackend::paged_attention(const AttentionSpec& spec, const mx::array& q,
                                            const StepBatch& batch, KvLayerStore& store) {
  const auto& kv = static_cast<const DenseKv&>(store);
  const int dim = spec.head_dim, groups = spec.heads / spec.kv_heads;
  std::vector<mx::array> outputs;
  const std::vector<AttentionRow>& rows_of_pool = batch.kv_of(kv).rows;
  for (const AttentionRow& row : rows_of_pool) {
    // Blocks before the window may belong to others by now.
    const int oldest = spec.window > 0 ? std::max(0, row.start - spec.window + 1) : 0;
    std::vector<int32_t> slots;
    for (int p = oldest; p < row.start + row.tokens; ++p)
      slots.push_back(row.blocks[p / kBlockPositions] * kBlockPositions + p % kBlockPositions);
    const mx::array index = ints(slots);
    // [K, 1, D, S] and [K, 1, S, D]
    const mx::array k = mx::expand_dims(
        mx::transpose(mx::astype(mx::take(kv.k, index, 0), mx::float32), {1, 2, 0}), 1);
    const mx::array v = mx::expand_dims(
        mx::transpose(mx::astype(mx::take(kv.v, index, 0), mx::float32), {1, 0, 2}), 1);
    const mx::array rows =
        mx::slice(q, mx::Shape{row.row, 0}, mx::Shape{row.row + row.tokens, q.shape(1)});
    // [K, G, t, D]
    const mx::array queries = mx::transpose(
        mx::reshape(mx::astype(rows, mx::float32), {row.tokens, spec.kv_heads, groups, dim}),
        {1, 2, 0, 3});
    mx::array scores = mx::multiply(mx::matmul(queries, k), mx::array(spec.scale));
    if (spec.soft_cap > 0)
      scores = mx::multiply(mx::tanh(mx::divide(scores, mx::array(spec.soft_cap))),
                            mx::array(spec.soft_cap));
    scores = mx::add(scores, causal_mask(row.start, row.tokens, oldest, spec.window));
    if (!spec.sinks.empty()) {  // a score more, whose share is given to no value
      const mx::array sinks =
          mx::broadcast_to(mx::reshape(spec.sinks.array(), {spec.kv_heads, groups, 1, 1}),
                           {spec.kv_heads, groups, row.tokens, 1});
      scores = mx::concatenate({scores, sinks}, -1);
    }
    const int keys = static_cast<int>(slots.size());
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
