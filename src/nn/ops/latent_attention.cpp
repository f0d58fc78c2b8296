#include "nn/ops/latent_attention.h"

#include "base/check.h"

namespace pippin::nn {

std::optional<mx::array> select_positions(Backend& on, const IndexSpec& spec, const mx::array& q,
                                          const mx::array& k, const mx::array& weights,
                                          const StepBatch& batch, KvLayerStore& store) {
  CHECK(q.shape(1) == spec.heads * spec.dim, "q must be [T, H D]");
  CHECK(k.shape(1) == spec.dim && k.shape(0) == q.shape(0), "k must be [T, D]");
  CHECK(weights.shape(1) == spec.heads && weights.shape(0) == q.shape(0), "weights: [T, H]");
  CHECK(store.geometry.index_key == spec.dim, "the layer keeps index keys");
  return on.select_positions(spec, q, k, weights, batch, store);
}

mx::array latent_attention(Backend& on, const LatentSpec& spec, const mx::array& q,
                           const mx::array& kv, const std::optional<mx::array>& selected,
                           const StepBatch& batch, KvLayerStore& store) {
  CHECK(q.shape(1) == spec.heads * (spec.plain + spec.rope), "q must be [T, H (N + P)]");
  CHECK(kv.shape(1) == spec.rank + spec.rope && kv.shape(0) == q.shape(0), "kv must be [T, R + P]");
  CHECK(!selected || selected->shape(0) == q.shape(0), "selected must be [T, top]");
  return on.latent_attention(spec, q, kv, selected, batch, store);
}

}  // namespace pippin::nn
