// KvCache: the blocks of keys and values of all layers. The engine's block ids index it; it knows
// nothing of sequences. Owner: the runner. Thread: the device thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

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

/// Two kinds of layers have block tables, and numbers of blocks, of their own.
enum class KvPool : uint8_t { kWhole, kWindow };

/// One layer's storage. The CPU backend has `cpu`; the stock backend has `k` and `v`, [P * S, K, D]
/// each.
struct KvLayerStore {
  KvGeometry geometry;
  KvPool pool = KvPool::kWhole;  // whose block ids index it
  cpu::KvLayer cpu;
  std::optional<mlx::core::array> k, v;
};

/// Blocks of each layer.
struct KvBlocks {
  KvBlocks(int blocks) : whole(blocks) {}  // NOLINT: implicit, for models without windows
  KvBlocks(int blocks, int window_blocks) : whole(blocks), window(window_blocks) {}

  int whole = 0;
  int window = 0;  // of layers with a window; 0 = they lie in blocks like the others'

  KvPool pool_of(const KvGeometry& layer) const {
    return window > 0 && layer.window > 0 ? KvPool::kWindow : KvPool::kWhole;
  }
  int of(KvPool pool) const { return pool == KvPool::kWindow ? window : whole; }
};

class KvCache {
 public:
  /// Reserves blocks for the CPU kernels. Pages are touched as they are used.
  /// Errors: kOutOfMemory.
  static Result<KvCache> for_cpu(const std::vector<KvGeometry>& layers, KvBlocks blocks,
                                 cpu::KvType type = cpu::KvType::kF16);
  /// The same for stock ops, as arrays of `dtype`.
  static KvCache for_stock(const std::vector<KvGeometry>& layers, KvBlocks blocks,
                           mlx::core::Dtype dtype);

  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  KvLayerStore& layer(int i) { return layers_[static_cast<size_t>(i)]; }
  const KvBlocks& blocks() const { return blocks_; }
  /// Copies block `from` over block `to` in every layer of the pool.
  void copy_block(int from, int to, KvPool pool = KvPool::kWhole);

 private:
  KvCache() = default;
  std::vector<KvLayerStore> layers_;
  KvBlocks blocks_{0};
  void* memory_ = nullptr;  // one mapping for all layers of the CPU backend
  size_t memory_bytes_ = 0;
};

}  // namespace pippin::nn
