#include "nn/backend/kv_cache.h"

#include "base/check.h"

namespace pippin::nn {

int64_t KvGeometry::block_bytes(KvType type) const {
  if (kind() == KvKind::kState) return state.values() * static_cast<int64_t>(sizeof(float));
  if (latent > 0) return int64_t{2} * (latent + index_key) * kBlockPositions;
  return 2 * kv_heads * kv_head_bytes(type, head_dim);
}

int group_of(const KvPlan& plan, const KvGeometry& layer) {
  const auto find = [&](KvKind kind) {
    for (size_t g = 0; g < plan.groups.size(); ++g)
      if (plan.groups[g].kind == kind) return static_cast<int>(g);
    return -1;
  };
  const int own = find(layer.kind());
  const int group = own >= 0 || layer.kind() == KvKind::kState ? own : find(KvKind::kFull);
  CHECK(group >= 0, "a plan has a group for each layer");
  return group;
}

}  // namespace pippin::nn
