#include "nn/ops/latent_attention.h"

#include "base/check.h"

namespace pippin::nn {

mx::array latent_attention(Backend& on, const LatentSpec& spec, const mx::array& q,
                           const mx::array& kv, const StepBatch& batch, KvLayerStore& store) {
  CHECK(q.shape(1) == spec.heads * (spec.plain + spec.rope), "q must be [T, H (N + P)]");
  CHECK(kv.shape(1) == spec.rank + spec.rope && kv.shape(0) == q.shape(0), "kv must be [T, R + P]");
  return on.latent_attention(spec, q, kv, batch, store);
}

}  // namespace pippin::nn
