// PrefixCache: finds blocks by content. Full blocks go by name (block_name.h); a partly filled
// block is found through its parent's name and copied as far as it agrees. The cache holds no
// leases: what nobody uses stays until the pool reuses it.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/core/block_name.h"
#include "engine/core/block_pool.h"
#include "engine/core/prefix_miss.h"
#include "engine/core/types.h"
#include "engine/core/window_table.h"

namespace pippin::engine {

/// What the cache holds of a prompt.
struct PrefixMatch {
  struct Partial {
    BlockLease source;
    int positions = 0;  // of `source`, that agree with the prompt
  };

  std::vector<BlockLease> blocks;         // full blocks from position 0 on
  std::optional<Partial> partial;         // continues after `blocks`, by a copy
  WindowTable window;                     // the same for windowed layers, as far back as they see
  std::optional<Partial> window_partial;  // there if `partial` is, and as long
  int tokens = 0;                         // positions that need not be computed
  /// Position of the first token that differs from what is cached; the prompt's length if none
  /// does.
  int first_difference = 0;
  PrefixMiss miss = PrefixMiss::kNone;  // why the match ends there
};

class PrefixCache {
 public:
  /// Requires: block_positions > 0; `pool` outlives the cache and has no other on_reuse.
  PrefixCache(BlockPool& pool, int block_positions);

  /// Names a chain's first parent. See BlockNamer.
  BlockName root(std::string_view salt);
  BlockName child(const BlockName& parent, std::span<const Token> tokens) {
    return namer_.child(parent, tokens);
  }

  /// Says whether a full block of this name is there.
  bool contains(const BlockName& name) const { return named_.contains(name); }

  /// Leases the full block of this name.
  /// Requires: it is there.
  BlockLease lease(const BlockName& name) { return pool_.lease(named_.at(name)); }

  /// Leases the longest cached prefix of `tokens`. `names` are root, then one for each full block
  /// of `tokens`. At least the last token is left to compute, so that there are logits to sample
  /// from.
  PrefixMatch match(std::span<const BlockName> names, std::span<const Token> tokens);

  /// Counts the tokens that match() would find in full blocks, and leases nothing.
  int count_full_blocks(std::span<const BlockName> names, std::span<const Token> tokens) const;

  /// Returns the block behind `parent` that agrees longest with `tokens`, and how many agree; -1
  /// and 0 if none begins like them.
  std::pair<BlockId, int> closest_child(const BlockName& parent,
                                        std::span<const Token> tokens) const;
  /// Leases the first positions of a block, if they are worth a copy.
  std::optional<PrefixMatch::Partial> lease_partial(BlockId block, int positions);

  /// Records that `tokens` have been computed into the leased `block`, from its first position on
  /// or following what was recorded before; the block's chain is `parent`. When the block is full
  /// it goes by `name`, unless another block already does.
  /// Requires: one sequence alone writes the
  /// block.
  void record(BlockId block, const BlockName& parent, std::span<const Token> tokens,
              const BlockName* name);

  /// Errors: kInternal, if names, children and the pool disagree. Cost: O(blocks).
  Result<void> check_integrity() const;

 private:
  static constexpr BlockId kNone = -1;
  // Fewer positions than this are cheaper to compute beside the rest of a prompt than to copy in a
  // launch of their own.
  static constexpr int kCopyPositionsMin = 4;
  // A popular prefix can have thousands of continuations; only the newest are compared.
  static constexpr int kSiblingsMax = 32;
  // Salts whose roots are remembered, to tell why a prompt is not known.
  static constexpr size_t kRootsMax = 8;

  /// What is known of a block. Linked into the list of its parent's children, newest first, while
  /// filled > 0.
  struct Entry {
    BlockName parent;
    BlockName name;
    bool named = false;
    int filled = 0;
    BlockId newer = kNone;
    BlockId older = kNone;
  };

  Entry& at(BlockId id) { return entries_[static_cast<size_t>(id)]; }
  const Entry& at(BlockId id) const { return entries_[static_cast<size_t>(id)]; }
  std::span<const Token> recorded_tokens(BlockId id) const;
  void link(BlockId id);
  void forget(BlockId id);
  void evict(BlockId id);
  PrefixMiss miss_after(std::span<const BlockName> names, std::span<const Token> tokens, int full,
                        BlockId closest, int agreed);
  bool known_to_another_root(const BlockName& own, std::span<const Token> tokens);

  BlockPool& pool_;
  int block_positions_;
  BlockNamer namer_;
  std::vector<Entry> entries_;
  std::vector<Token> tokens_;  // [P, S]
  std::unordered_map<BlockName, BlockId> named_;
  std::unordered_map<BlockName, BlockId> newest_child_;
  std::deque<BlockName> roots_;  // of the newest salts
  // Names of blocks that were reused, as many as there are blocks; oldest first. Only for a miss's
  // cause.
  std::deque<BlockName> evicted_order_;
  std::unordered_set<BlockName> evicted_;
};

}  // namespace pippin::engine
