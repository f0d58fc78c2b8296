// ReferenceBackend: attention over compressed keys and values.
#include "mlx/ops.h"
#include "nn/reference/positions.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
mx::array ReferenceBackend::latent_attention(const LatentSpec& spec, const mx::array& q,
                                             const mx::array& kv, const StepBatch& batch,
                                             KvLayerStore& layer) {
  auto& store = static_cast<DenseLatent&>(layer);
  const int tokens = q.shape(0), heads = spec.heads, width = spec.rank + spec.rope;
  const AttentionMetadata& tables = batch.kv_of(store);
  const mx::array wide = mx::astype(kv, mx::float32);
  const Turns turns(batch.positions, spec.inv_freq, spec.rope_magnitude);
  const auto turned = [&](const mx::array& x) {
    return rotate(x, spec.rope, spec.rope_interleaved, turns);
  };
  const mx::array shared = columns(wide, spec.rank, spec.rope);
  const mx::array key =
      mx::reshape(turned(mx::reshape(shared, {tokens, 1, spec.rope})), {tokens, spec.rope});
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
  const mx::array turned_q =
      mx::transpose(turned(part(spec.plain, spec.plain + spec.rope)), {1, 0, 2});
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
                causal_mask(row.start, row.tokens));
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
