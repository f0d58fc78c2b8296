// PrefixCache: finds the blocks of one KV group by content. Full blocks go by their hash
// (block_hash.h); a partly filled block is found through its parent's hash. The cache holds no
// leases: what nobody uses stays until the pool reuses it.
// Owner: a KV group. Thread: the device thread.
#pragma once

#include <deque>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/core/block_hash.h"
#include "engine/core/block_pool.h"
#include "engine/core/types.h"

namespace pippin::engine {

class PrefixCache {
 public:
  static constexpr BlockId kNone = -1;

  /// Requires: block_positions > 0; `pool` outlives the cache and has no other on_reuse.
  PrefixCache(BlockPool& pool, int block_positions);

  /// Says whether a full block of this hash is there.
  bool contains(const BlockHash& hash) const { return full_.contains(hash); }
  /// Returns the full block of this hash; kNone without one.
  BlockId find(const BlockHash& hash) const {
    const auto found = full_.find(hash);
    return found == full_.end() ? kNone : found->second;
  }
  /// Says whether a full block of this hash was there, and has been reused.
  bool was_evicted(const BlockHash& hash) const { return evicted_.contains(hash); }
  /// Says whether a block, full or not, follows the one of this hash.
  bool has_children(const BlockHash& parent) const { return newest_child_.contains(parent); }

  /// Returns the block behind `parent` that agrees longest with `tokens`, and how many agree;
  /// kNone and 0 if none begins like them. Negative tokens (of media) agree with nothing.
  std::pair<BlockId, int> closest_child(const BlockHash& parent,
                                        std::span<const Token> tokens) const;
  /// Returns the deepest block behind `parent` whose tokens are all at the beginning of `tokens`,
  /// and their number.
  std::pair<BlockId, int> longest_whole_child(const BlockHash& parent,
                                              std::span<const Token> tokens) const;
  /// Returns the positions of a block that are recorded.
  int filled(BlockId block) const { return at(block).filled; }

  /// Records that `tokens` have been computed into the leased `block`, from its first position on
  /// or following what was recorded before; the block's chain is `parent`. When the block is full
  /// it goes by `hash`, unless another block already does.
  /// Requires: one sequence alone writes the block.
  void record(BlockId block, const BlockHash& parent, std::span<const Token> tokens,
              const BlockHash* hash);
  /// Forgets what is recorded of a block; nothing finds it any more.
  void forget(BlockId block);

  /// Errors: kInternal, if hashes, children and the pool disagree. Cost: O(blocks).
  Result<void> check_integrity() const;

 private:
  // A popular prefix can have thousands of continuations; only the newest are compared.
  static constexpr int kSiblingsMax = 32;

  /// What is known of a block. Linked into the list of its parent's children, newest first, while
  /// filled > 0.
  struct Entry {
    BlockHash parent;
    BlockHash hash;
    bool full = false;
    int filled = 0;
    BlockId newer = kNone;
    BlockId older = kNone;
  };

  Entry& at(BlockId id) { return entries_[static_cast<size_t>(id)]; }
  const Entry& at(BlockId id) const { return entries_[static_cast<size_t>(id)]; }
  std::span<const Token> recorded_tokens(BlockId id) const;
  void link(BlockId id);
  void unlink(BlockId id);
  void evict(BlockId id);

  BlockPool& pool_;
  int block_positions_;
  std::vector<Entry> entries_;
  std::vector<Token> tokens_;  // [P, S]
  std::unordered_map<BlockHash, BlockId> full_;
  std::unordered_map<BlockHash, BlockId> newest_child_;
  // Hashes of blocks that were reused, as many as there are blocks; oldest first. Only for a miss's
  // cause.
  std::deque<BlockHash> evicted_order_;
  std::unordered_set<BlockHash> evicted_;
};

}  // namespace pippin::engine
