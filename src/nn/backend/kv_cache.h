// KvCache: the blocks of keys and values of all layers, where and as a backend keeps them. The
// engine's block ids index it; it knows nothing of sequences. Owner: the runner. Thread: the device
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/kv_plan.h"
#include "nn/types/kv_type.h"

namespace pippin::nn {

/// A recurrent layer's state of one sequence, in f32; zeros where a sequence begins.
struct StateShape {
  int conv_positions = 0, conv_channels = 0;  // the last inputs of a causal convolution
  int heads = 0, rows = 0, columns = 0;       // a matrix for each head

  int64_t conv_values() const { return int64_t{conv_positions} * conv_channels; }
  int64_t matrix_values() const { return int64_t{heads} * rows * columns; }
  int64_t values() const { return conv_values() + matrix_values(); }
};

/// What one layer keeps of a sequence: K and V of positions, or a state.
struct KvGeometry {
  int kv_heads = 0;
  int head_dim = 0;
  int window = 0;  // > 0: queries see only so many positions back
  int chunk = 0;   // > 0: queries see only the chunk of so many positions that they lie in
  StateShape state = {};
  /// > 0: a compressed form of keys and values (MLA), so many f16 values of each position.
  int latent = 0;
  /// > 0: beside that a key of so many f16 values, by which an indexer chooses positions.
  int index_key = 0;

  KvKind kind() const {
    if (state.values() > 0) return KvKind::kState;
    if (chunk > 0) return KvKind::kChunked;
    return window > 0 ? KvKind::kSliding : KvKind::kFull;
  }
  /// Units: bytes of K and V for one block, or of a state. GPUs' bf16 takes what f16 takes.
  int64_t block_bytes(KvType type) const;
};

/// Returns the group of a plan that a layer lies in: that of its kind, or, where the plan folded
/// windows and chunks into it, the one that keeps every position.
int group_of(const KvPlan& plan, const KvGeometry& layer);

/// One layer's storage. A backend derives its own and is handed back its own.
struct KvLayerStore {
  KvLayerStore(const KvGeometry& of, int in_group) : geometry(of), group(in_group) {}
  virtual ~KvLayerStore() = default;
  const KvGeometry geometry;
  const int group;  // of the KV plan, whose block ids index it
};

class KvCache {
 public:
  virtual ~KvCache() = default;
  KvLayerStore& layer(int i) { return *layers_[static_cast<size_t>(i)]; }
  const KvPlan& plan() const { return plan_; }
  /// Copies block `from` over block `to` in every layer of the group.
  virtual void copy_block(int from, int to, int group = 0) = 0;
  /// Says whether give_back() does anything.
  virtual bool can_give_back() const { return false; }
  /// Gives the memory of blocks back to the system, in each group from number `in_service` on. They
  /// may be used again; until then what they hold is undefined.
  virtual void give_back(std::span<const int> /*in_service*/) {}

 protected:
  explicit KvCache(KvPlan plan) : plan_(std::move(plan)) {}
  const KvPlan plan_;
  std::vector<std::unique_ptr<KvLayerStore>> layers_;
};

}  // namespace pippin::nn
