#include "nn/backend/kv_cache.h"

namespace pippin::nn {

int64_t KvGeometry::block_bytes(KvType type) const {
  return 2 * kv_heads * kv_head_bytes(type, head_dim);
}

int group_of(const KvPlan& plan, const KvGeometry& layer) {
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    const bool windowed = plan.groups[g].kind == KvKind::kSliding;
    if (windowed == (layer.window > 0 && plan.group(KvKind::kSliding) != nullptr))
      return static_cast<int>(g);
  }
  return 0;
}

}  // namespace pippin::nn
