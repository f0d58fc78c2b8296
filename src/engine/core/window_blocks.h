// WindowBlocks: the KV blocks of layers whose queries see only the last `window` positions.
// Owner: the scheduler of a model that has such layers. Thread: the device thread.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/core/block_pool.h"
#include "engine/core/prefix_cache.h"
#include "engine/core/types.h"
#include "engine/core/window_table.h"

namespace pippin::engine {

/// The arithmetic of a window over blocks: a query at p sees positions (p - window, p].
struct WindowShape {
  int window = 0;
  int block_positions = 16;

  /// The first block that the query at `computed`, or a later one, sees.
  int first_block(int computed) const {
    return std::max(0, computed - window + 1) / block_positions;
  }
  /// Blocks that hold `tokens` positions and the window before them, wherever they begin.
  int blocks_over(int tokens) const {
    return (window - 1 + tokens + block_positions - 2) / block_positions + 1;
  }
  /// Blocks with which one sequence can always run: its window and a step.
  int blocks_min(int step_tokens_max) const {
    return blocks_over(1) + (step_tokens_max + block_positions - 1) / block_positions;
  }
};

/// How windowed layers keep only what they can see again:
///  1. A position's KV lies in two pools: the scheduler's, for layers that see everything, and this
///     one. Both tables of a sequence go by the same block numbers, both caches by the same names.
///  2. Blocks of the other pool are leased for the whole prompt at admission; these only for the
///     chunk that the next step computes.
///  3. Behind each step the blocks that no later query sees go back. They stay cached like any
///     other, so that a prompt which ends or turns off there still finds them.
///  4. A prefix counts up to the deepest place at which both caches hold what goes on from it: all
///     blocks there, the last window - 1 positions here. The rest is computed again, into new
///     blocks of both pools; the copy that was named first serves all.
///  5. A partly filled block is copied in both pools as far as both agree, or in none.
///  6. Before anything is planned each active sequence, in order of turn, leases its next token's
///     block, at the cost of those whose turn comes last; chunks of prompts are then cut to what is
///     left. The first in turn always moves, because the pool holds at least a window and a step.
///  7. At admission a window for each active sequence and one step are kept back, so that chunks
///     seldom have to be cut.
class WindowBlocks {
 public:
  /// Requires: blocks >= shape.blocks_min(step_tokens_max).
  WindowBlocks(WindowShape shape, int blocks, int step_tokens_max);

  const WindowShape& shape() const { return shape_; }
  const BlockPool& pool() const { return pool_; }

  /// Takes `tokens` computed into `block`, a number in the table, as PrefixCache::record().
  void record(const WindowTable& table, size_t block, const BlockName& parent,
              std::span<const Token> tokens, const BlockName* name) {
    cache_.record(table.blocks[block].id(), parent, tokens, name);
  }
  bool contains(const BlockName& name) const { return cache_.contains(name); }
  /// Shortens a match to what windowed layers can go on from, and leases that. See rule 4.
  void join(PrefixMatch& match, std::span<const BlockName> names, std::span<const Token> tokens);

  /// Blocks that a sequence has to find at admission, with `computed` of `length` tokens cached.
  int wanted(int computed, int length) const;
  /// Blocks kept back for a step's chunks.
  int step_blocks() const { return step_blocks_; }

  /// Leases blocks up to position `end`.
  /// Returns: false if the pool has not that many; those leased stay.
  bool cover(WindowTable& table, int end);
  /// Leases a block behind the table, for a copy.
  /// Requires: there is one.
  BlockId append(WindowTable& table);
  /// The position up to which cover() would go.
  int reach(const WindowTable& table) const {
    return (table.size() + pool_.available()) * shape_.block_positions;
  }
  /// Gives back what no query from `computed` on sees.
  void release_unseen(WindowTable& table, int computed) const;
  /// Writes the ids of the blocks up to position `end`.
  /// Requires: they are covered.
  void write_ids(const WindowTable& table, int end, std::vector<BlockId>& ids) const;

  /// Errors: kInternal, if pool and cache disagree, or a table of a sequence that has computed so
  /// many positions holds too much or too little.
  Result<void> check_integrity() const;
  Result<void> check_table(const WindowTable& table, int computed) const;

 private:
  int blocks_for(int positions) const {
    return (positions + shape_.block_positions - 1) / shape_.block_positions;
  }

  const WindowShape shape_;
  const int step_blocks_;
  BlockPool pool_;
  PrefixCache cache_;
};

}  // namespace pippin::engine
