// KvTable: what one sequence holds of one KV group.
// Owner: the sequence. Thread: the device thread.
#pragma once

#include <vector>

#include "engine/core/block_pool.h"

namespace pippin::engine {

struct KvTable {
  /// Attention: one block for each `block_positions` positions, those before `first` given back (id
  /// -1). State: the sequence's own. Cross: the encoded input's.
  std::vector<BlockLease> blocks;
  int first = 0;
  BlockLease spare;       // state: as it was before the drafts of the step under way
  BlockLease checkpoint;  // state: what the step under way copies before it runs
  int checkpoint_at = 0;  // state: the position of that copy

  int size() const { return static_cast<int>(blocks.size()); }
  int held() const { return size() - first; }
  /// Gives all back, the deepest first, so that a chain is reused from its end and its beginning
  /// stays findable for longer.
  void clear() {
    while (!blocks.empty()) blocks.pop_back();
    first = 0;
    spare = BlockLease();
    checkpoint = BlockLease();
  }
  /// Calls `visit` with each lease.
  template <typename Visit>
  void each(Visit&& visit) const {
    for (const BlockLease& lease : blocks)
      if (lease.id() >= 0) visit(lease);
    if (spare.id() >= 0) visit(spare);
    if (checkpoint.id() >= 0) visit(checkpoint);
  }
};

}  // namespace pippin::engine
