// What holds of each operation on every backend: its shapes are checked, and it is done there.
#include "base/check.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/moe.h"
#include "nn/ops/norm.h"
#include "nn/ops/streams.h"

namespace pippin::nn {
namespace {

bool is_identity(const std::vector<int32_t>& rows, int count) {
  if (static_cast<int>(rows.size()) != count) return false;
  for (int i = 0; i < count; ++i) {
    if (rows[static_cast<size_t>(i)] != i) return false;
  }
  return true;
}

}  // namespace

mx::array linear(Backend& on, const LinearWeight& weight, const mx::array& x) {
  CHECK(x.ndim() == 2 && x.shape(1) == weight.columns, "linear: x must be [T, K]");
  return on.linear(weight, x);
}

mx::array embed(Backend& on, const LinearWeight& table, const StepBatch& batch, float scale) {
  CHECK(batch.embedded.empty(), "embed: tokens without an id are the model's to fill in");
  return on.embed(table, batch, scale);
}

mx::array gather(Backend& on, const mx::array& x, const std::vector<int32_t>& rows) {
  return is_identity(rows, x.shape(0)) ? x : on.gather(x, rows);
}

mx::array soft_cap(Backend& on, const mx::array& x, float cap) { return on.soft_cap(x, cap); }

mx::array scale(Backend& on, const mx::array& x, float factor) { return on.scale(x, factor); }

mx::array scale_rows(Backend& on, const mx::array& x, const std::vector<float>& factors) {
  CHECK(x.ndim() == 2 && x.shape(0) == static_cast<int>(factors.size()),
        "scale_rows: a factor for each row");
  return on.scale_rows(x, factors);
}

mx::array columns(Backend& on, const mx::array& x, int first, int count) {
  CHECK(x.ndim() == 2 && first >= 0 && count > 0 && first + count <= x.shape(1),
        "columns: the columns must be x's");
  return first == 0 && count == x.shape(1) ? x : on.columns(x, first, count);
}

mx::array norm(Backend& on, const NormWeight& weight, const mx::array& x) {
  CHECK(x.ndim() == 2 && static_cast<size_t>(x.shape(1)) == weight.values.size(),
        "norm: x must be [T, E]");
  return on.norm(weight, x);
}

mx::array add_norm(Backend& on, const NormWeight& weight, mx::array& x, const mx::array& delta) {
  CHECK(x.ndim() == 2 && static_cast<size_t>(x.shape(1)) == weight.values.size(),
        "add_norm: x must be [T, E]");
  return on.add_norm(weight, x, delta);
}

mx::array norm_columns(Backend& on, const NormWeight& weight, const mx::array& x, int first) {
  CHECK(x.ndim() == 2 && first >= 0 && first + static_cast<int>(weight.values.size()) <= x.shape(1),
        "norm_columns: the columns must be x's");
  return on.norm_columns(weight, x, first);
}

mx::array add(Backend& on, const mx::array& x, const mx::array& delta) { return on.add(x, delta); }

mx::array feed_forward(Backend& on, Gate gate, const LinearWeight& gate_up,
                       const LinearWeight& down, const mx::array& x) {
  CHECK(x.ndim() == 2 && x.shape(1) == gate_up.columns, "feed_forward: x must be [T, K]");
  return on.feed_forward(gate, gate_up, down, x);
}

mx::array plain_feed_forward(Backend& on, Gate activation, const LinearWeight& up,
                             const LinearWeight& down, const mx::array& x) {
  CHECK(x.ndim() == 2 && x.shape(1) == up.columns, "plain_feed_forward: x must be [T, K]");
  return on.plain_feed_forward(activation, up, down, x);
}

mx::array moe(Backend& on, const MoeWeights& weights, const mx::array& x) {
  return moe(on, weights, x, x);
}

mx::array moe(Backend& on, const MoeWeights& weights, const mx::array& x,
              const mx::array& routed_by) {
  const RouterSpec& routing = weights.routing;
  CHECK(x.ndim() == 2 && x.shape(1) == weights.router.columns && x.shape(1) == weights.up.columns,
        "moe: x must be [T, K]");
  CHECK(routed_by.shape() == x.shape(), "moe: the router takes [T, K]");
  CHECK(weights.router.rows == routing.experts && weights.up.experts == routing.experts &&
            weights.down.experts == routing.experts &&
            weights.up.rows == weights.down.columns * (weights.gated ? 2 : 1),
        "moe: weights of one layer");
  CHECK(routing.used > 0 && routing.groups > 0 && routing.experts % routing.groups == 0 &&
            routing.used <= routing.experts / routing.groups * routing.groups_used,
        "moe: as many experts as there are to choose from");
  return on.moe(weights, x, routed_by);
}

mx::array mix_streams(Backend& on, const mx::array& x, int streams, const mx::array& weights) {
  CHECK(x.ndim() == 2 && streams > 0 && x.shape(1) % streams == 0, "mix_streams: x is [T, n E]");
  CHECK(weights.ndim() == 2 && weights.shape(0) == x.shape(0) && weights.shape(1) % streams == 0,
        "mix_streams: weights are [T, m n]");
  return on.mix_streams(x, streams, weights);
}

mx::array match_magnitude(Backend& on, const mx::array& x, const mx::array& like) {
  CHECK(x.ndim() == 2 && x.shape() == like.shape(), "match_magnitude: both are [T, E]");
  return on.match_magnitude(x, like);
}

mx::array above_mean(Backend& on, const mx::array& x, float deviations) {
  return on.above_mean(x, deviations);
}

mx::array scale_columns(Backend& on, const mx::array& x, const FloatVector& factors) {
  CHECK(x.ndim() == 2 && static_cast<size_t>(x.shape(1)) == factors.size(),
        "scale_columns: a factor for each column");
  return on.scale_columns(x, factors);
}

mx::array xielu(Backend& on, const Xielu& curve, const mx::array& x) { return on.xielu(curve, x); }

mx::array gate(Backend& on, Gate gate, const mx::array& by, const mx::array& x) {
  CHECK(by.shape(0) == x.shape(0) && (by.shape(1) == x.shape(1) || by.shape(1) == 1),
        "gate: by must be [T, N] or [T, 1]");
  return on.gate(gate, by, x);
}

mx::array qkv_rope_kv_write(Backend& on, const AttentionSpec& spec, const mx::array& qkv,
                            const StepBatch& batch, KvLayerStore& kv) {
  const int heads = spec.heads + (spec.queries_only ? 0 : 2 * spec.kv_heads);
  CHECK(qkv.shape(1) == heads * spec.head_dim, "qkv must be [T, (H + 2 K) D]");
  CHECK(batch.position_components == 1, "qkv_rope_kv_write: positions must be [T, 1]");
  return on.qkv_rope_kv_write(spec, qkv, batch, kv);
}

mx::array paged_attention(Backend& on, const AttentionSpec& spec, const mx::array& q,
                          const StepBatch& batch, KvLayerStore& kv) {
  CHECK(batch.spans.empty(), "paged_attention: queries see what is before them");
  return on.paged_attention(spec, q, batch, kv);
}

}  // namespace pippin::nn
