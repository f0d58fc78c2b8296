// ReferenceBackend: attention over compressed keys and values.
#include <limits>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

mx::array ints(const std::vector<int32_t>& values) {
  return mx::array(values.begin(), mx::Shape{static_cast<int>(values.size())}, mx::int32);
}

// x: [T, N, P] f32, turned by position * inv_freq.
mx::array turned(const LatentSpec& spec, const mx::array& x,
                 const std::vector<int32_t>& positions) {
  const int tokens = x.shape(0), heads = x.shape(1), half = spec.rope / 2;
  const mx::array angle = mx::multiply(
      mx::reshape(mx::astype(ints(positions), mx::float32), {tokens, 1, 1}), spec.inv_freq.array());
  const mx::array magnitude(spec.rope_magnitude);
  const mx::array cos = mx::multiply(mx::cos(angle), magnitude),
                  sin = mx::multiply(mx::sin(angle), magnitude);
  // [T, N, half, 2] or [T, N, 2, half]: the pairs' dimension comes last or before.
  const int pairs = spec.rope_interleaved ? 3 : 2;
  const mx::array split = mx::reshape(x, spec.rope_interleaved ? mx::Shape{tokens, heads, half, 2}
                                                               : mx::Shape{tokens, heads, 2, half});
  const mx::array a = mx::take(split, 0, pairs), b = mx::take(split, 1, pairs);
  const mx::array both = mx::stack({mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin)),
                                    mx::add(mx::multiply(a, sin), mx::multiply(b, cos))},
                                   pairs);
  return mx::reshape(both, {tokens, heads, spec.rope});
}

// [t, n]: 0 where a query at start + i sees position j, -inf elsewhere.
mx::array causal(int start, int tokens) {
  const int end = start + tokens;
  const mx::array q = mx::reshape(mx::arange(start, end, mx::int32), {tokens, 1});
  const mx::array k = mx::reshape(mx::arange(0, end, mx::int32), {1, end});
  return mx::where(mx::less_equal(k, q), mx::array(0.0f),
                   mx::array(-std::numeric_limits<float>::infinity()));
}

}  // namespace

mx::array ReferenceBackend::latent_attention(const LatentSpec& spec, const mx::array& q,
                                             const mx::array& kv, const StepBatch& batch,
                                             KvLayerStore& layer) {
  auto& store = static_cast<DenseLatent&>(layer);
  const int tokens = q.shape(0), heads = spec.heads, width = spec.rank + spec.rope;
  const AttentionMetadata& tables = batch.kv_of(store);
  const mx::array wide = mx::astype(kv, mx::float32);
  const mx::array key = mx::reshape(
      turned(spec, mx::reshape(columns(wide, spec.rank, spec.rope), {tokens, 1, spec.rope}),
             batch.positions),
      {tokens, spec.rope});
  const mx::array kept = mx::concatenate({columns(wide, 0, spec.rank), key}, 1);
  store.rows =
      mx::scatter(store.rows, {ints(tables.slots)},
                  mx::astype(mx::reshape(kept, {tokens, 1, width}), store.rows.dtype()), {0});

  const mx::array queries =
      mx::astype(mx::reshape(q, {tokens, heads, spec.plain + spec.rope}), mx::float32);
  const auto part = [&](int from, int to) {
    return mx::slice(queries, mx::Shape{0, 0, from}, mx::Shape{tokens, heads, to});
  };
  const mx::array key_up = mx::reshape(spec.key_up.array(), {heads, spec.plain, spec.rank});
  const mx::array value_up = mx::reshape(spec.value_up.array(), {heads, spec.rank, spec.value});
  // [H, T, N] x [H, N, R]
  const mx::array compressed = mx::matmul(mx::transpose(part(0, spec.plain), {1, 0, 2}), key_up);
  const mx::array turned_q = mx::transpose(
      turned(spec, part(spec.plain, spec.plain + spec.rope), batch.positions), {1, 0, 2});
  const mx::array whole = mx::concatenate({compressed, turned_q}, 2);  // [H, T, R + P]
  std::vector<mx::array> outputs;
  int done = 0;
  for (const AttentionRow& row : tables.rows) {
    std::vector<int32_t> slots;
    for (int p = 0; p < row.start + row.tokens; ++p)
      slots.push_back(row.blocks[p / kBlockPositions] * kBlockPositions + p % kBlockPositions);
    const mx::array seen = mx::astype(mx::take(store.rows, ints(slots), 0), mx::float32);
    const mx::array rows =
        mx::slice(whole, mx::Shape{0, row.row, 0}, mx::Shape{heads, row.row + row.tokens, width});
    const mx::array scores =
        mx::add(mx::multiply(mx::matmul(rows, mx::transpose(seen)), mx::array(spec.scale)),
                causal(row.start, row.tokens));
    const mx::array gathered =
        mx::matmul(mx::softmax(scores, -1, true), columns(seen, 0, spec.rank));  // [H, t, R]
    const mx::array values = mx::transpose(mx::matmul(gathered, value_up), {1, 0, 2});
    outputs.push_back(mx::reshape(values, {row.tokens, heads * spec.value}));
    done = row.row + row.tokens;
  }
  // Padding tokens of a device step belong to no row.
  if (done < tokens) outputs.push_back(mx::zeros({tokens - done, heads * spec.value}));
  return mx::astype(outputs.size() == 1 ? outputs[0] : mx::concatenate(outputs, 0), dtype_);
}

}  // namespace pippin::nn
