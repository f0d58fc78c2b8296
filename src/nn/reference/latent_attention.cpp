// ReferenceBackend: attention over compressed keys and values, and which of them it covers.
#include <algorithm>
#include <limits>

#include "mlx/ops.h"
#include "nn/reference/positions.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

// What is kept of the positions that a row sees, [S, width] f32.
mx::array seen_rows(const mx::array& stored, const AttentionRow& row) {
  return mx::astype(mx::take(stored, seen_slots(row), 0), mx::float32);
}

// 0 where a row's tokens see a position, -inf where they do not. Shapes: [t, S].
mx::array mask(const AttentionRow& row, const std::optional<mx::array>& selected) {
  const mx::array causal = causal_mask(row.start, row.tokens);
  if (!selected || selected->shape(1) >= row.start + row.tokens) return causal;
  const mx::array chosen = rows_of(*selected, row);
  const mx::array hidden = mx::full(causal.shape(), -std::numeric_limits<float>::infinity());
  return mx::add(causal, mx::put_along_axis(hidden, chosen, mx::zeros(chosen.shape()), 1));
}

}  // namespace

std::optional<mx::array> ReferenceBackend::select_positions(const IndexSpec& spec,
                                                            const mx::array& q, const mx::array& k,
                                                            const mx::array& weights,
                                                            const StepBatch& batch,
                                                            KvLayerStore& layer) {
  auto& store = static_cast<DenseLatent&>(layer);
  const int tokens = q.shape(0);
  const AttentionMetadata& tables = batch.kv_of(store);
  const Turns turns(batch.positions, spec.inv_freq, spec.rope_magnitude);
  const auto turned = [&](const mx::array& x, int heads) {
    const mx::array wide = mx::astype(mx::reshape(x, {tokens, heads, spec.dim}), mx::float32);
    return rotate(wide, spec.rope, spec.rope_interleaved, turns);
  };
  store.index_keys = mx::scatter(store.index_keys, {ints(tables.slots)},
                                 mx::astype(turned(k, 1), store.index_keys.dtype()), {0});

  const auto sees_more = [&](const AttentionRow& row) { return row.start + row.tokens > spec.top; };
  if (std::ranges::none_of(tables.rows, sees_more)) return std::nullopt;
  const mx::array queries = mx::reshape(turned(q, spec.heads), {tokens, spec.heads * spec.dim});
  const mx::array wide_weights = mx::astype(weights, mx::float32);
  const mx::array first = mx::reshape(mx::arange(0, spec.top, mx::int32), {1, spec.top});
  const auto unchosen = [&](int count) { return mx::broadcast_to(first, {count, spec.top}); };
  std::vector<mx::array> outputs;
  int done = 0;
  for (const AttentionRow& row : tables.rows) {
    done = row.row + row.tokens;
    if (!sees_more(row)) {
      outputs.push_back(unchosen(row.tokens));
      continue;
    }
    const mx::array keys = seen_rows(store.index_keys, row);
    const mx::array products = mx::reshape(
        mx::matmul(mx::reshape(rows_of(queries, row), {row.tokens * spec.heads, spec.dim}),
                   mx::transpose(keys)),
        {row.tokens, spec.heads, keys.shape(0)});
    const mx::array shares = mx::expand_dims(rows_of(wide_weights, row), 2);
    const mx::array scores =
        mx::add(mx::sum(mx::multiply(mx::maximum(products, mx::array(0.0f)), shares), 1),
                causal_mask(row.start, row.tokens));
    const mx::array worst(-std::numeric_limits<float>::infinity());
    // The sort is stable: of equal scores the earlier position comes first.
    const mx::array order =
        mx::argsort(mx::negative(mx::where(mx::isnan(scores), worst, scores)), 1);
    const mx::array best = mx::slice(order, mx::Shape{0, 0}, mx::Shape{row.tokens, spec.top});
    outputs.push_back(mx::sort(mx::astype(best, mx::int32), 1));
  }
  // Padding tokens of a device step belong to no row.
  if (done < tokens) outputs.push_back(unchosen(tokens - done));
  return mx::concatenate(outputs, 0);
}

mx::array ReferenceBackend::latent_attention(const LatentSpec& spec, const mx::array& q,
                                             const mx::array& kv,
                                             const std::optional<mx::array>& selected,
                                             const StepBatch& batch, KvLayerStore& layer) {
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
    const mx::array seen = seen_rows(store.rows, row);
    const mx::array rows =
        mx::slice(whole, mx::Shape{0, row.row, 0}, mx::Shape{heads, row.row + row.tokens, width});
    const mx::array scores =
        mx::add(mx::multiply(mx::matmul(rows, mx::transpose(seen)), mx::array(spec.scale)),
                mask(row, selected));
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
