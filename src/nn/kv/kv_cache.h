// KvCache: the blocks of keys and values of all layers. The engine's block ids index it; it knows
// nothing of sequences. Owner: the runner. Thread: the device thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/kv_plan.h"
#include "base/result.h"
#include "mlx/array.h"
#include "mlx/dtype.h"
#include "nn/cpu/attention.h"

namespace pippin::nn {

/// What one layer keeps per position.
struct KvGeometry {
  int kv_heads = 0;
  int head_dim = 0;
  int window = 0;  // > 0: queries see only so many positions back
  /// Units: bytes of K and V for one block of 16 positions.
  int64_t block_bytes(cpu::KvType type) const {
    return 2 * cpu::KvLayer{.kv_heads = kv_heads, .head_dim = head_dim, .type = type}.block_bytes();
  }
};

/// Returns the group of a plan that a layer lies in: windowed layers in that for windows, if there
/// is one, and else among those that keep every position.
inline int group_of(const KvPlan& plan, const KvGeometry& layer) {
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    const bool windowed = plan.groups[g].kind == KvKind::kSliding;
    if (windowed == (layer.window > 0 && plan.group(KvKind::kSliding) != nullptr))
      return static_cast<int>(g);
  }
  return 0;
}

/// One layer's storage. The CPU backend has `cpu`; the stock backend has `k` and `v`, [P * S, K, D]
/// each.
struct KvLayerStore {
  KvGeometry geometry;
  int group = 0;  // of the KV plan, whose block ids index it
  cpu::KvLayer cpu;
  std::optional<mlx::core::array> k, v;
};

class KvCache {
 public:
  /// Reserves blocks for the CPU kernels. Pages are touched as they are used.
  /// Errors: kOutOfMemory.
  static Result<KvCache> for_cpu(const std::vector<KvGeometry>& layers, KvPlan plan,
                                 cpu::KvType type = cpu::KvType::kF16);
  /// The same for stock ops, as arrays of `dtype`.
  static KvCache for_stock(const std::vector<KvGeometry>& layers, KvPlan plan,
                           mlx::core::Dtype dtype);

  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  KvLayerStore& layer(int i) { return layers_[static_cast<size_t>(i)]; }
  const KvPlan& plan() const { return plan_; }
  /// Copies block `from` over block `to` in every layer of the group.
  void copy_block(int from, int to, int group = 0);
  /// Gives the pages of the CPU backend's blocks back to the system, in each group from number
  /// `in_service` on. They read as zeros until they are written again.
  void give_back(std::span<const int> in_service);

 private:
  KvCache() = default;
  std::vector<KvLayerStore> layers_;
  KvPlan plan_;
  void* memory_ = nullptr;  // one mapping for all layers of the CPU backend
  size_t memory_bytes_ = 0;
};

}  // namespace pippin::nn
