// BlockPool: who holds which KV block. A fixed number of blocks, each free, cached (held by none,
// its content findable) or leased. The pool knows ids and counts only; the bytes lie with the
// runner, the names with the prefix cache.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/core/types.h"

namespace pippin::engine {

class BlockPool;

/// One reference to a block; its destruction is the only way to give the reference back. The pool
/// outlives it.
class BlockLease {
 public:
  BlockLease() = default;
  BlockLease(BlockLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(std::exchange(other.id_, -1)) {}
  BlockLease& operator=(BlockLease&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  BlockLease(const BlockLease&) = delete;
  BlockLease& operator=(const BlockLease&) = delete;
  ~BlockLease();

  /// Returns -1 where nothing is held.
  BlockId id() const { return id_; }
  const BlockPool* pool() const { return pool_; }

 private:
  friend class BlockPool;
  BlockLease(BlockPool* pool, BlockId id) : pool_(pool), id_(id) {}

  BlockPool* pool_ = nullptr;
  BlockId id_ = -1;
};

/// What the blocks of a pool are doing.
struct BlockCounts {
  int total = 0, free = 0, cached = 0, leased = 0;
};

class BlockPool {
 public:
  /// Requires: blocks > 0.
  explicit BlockPool(int blocks);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  /// Requires: every lease is back.
  ~BlockPool();

  /// Sets who is told that a cached block is about to be reused for something else.
  void set_on_reuse(std::function<void(BlockId)> on_reuse) { on_reuse_ = std::move(on_reuse); }

  /// Takes the blocks from number `blocks` on out of service, or takes some back into it. What they
  /// held is forgotten.
  /// Requires: 0 < blocks <= capacity(); none of those that go is leased.
  void resize(int blocks);

  /// Leases a block of no particular content: a free one, else the cached one unused for longest.
  /// Returns: nothing if all blocks are leased.
  std::optional<BlockLease> acquire();

  /// Leases a block for its content.
  /// Requires: the block is cached or leased.
  BlockLease lease(BlockId id);

  /// Says whether the block's content can be found again, that is, whether it becomes cached or
  /// free when its last lease ends.
  /// Requires: the block is not free.
  void set_findable(BlockId id, bool findable);

  /// Blocks in service.
  int total() const { return total_; }
  int capacity() const { return static_cast<int>(blocks_.size()); }
  int free() const { return static_cast<int>(free_.size()); }
  int cached() const { return cached_; }
  int leased() const { return leased_; }
  /// Blocks that acquire() can still hand out.
  int available() const { return free() + cached_; }
  int references(BlockId id) const { return at(id).references; }
  BlockCounts counts() const { return {total(), free(), cached_, leased_}; }

  /// Walks the free and cached lists and compares them with every block's state and the counts.
  /// Cost: O(blocks).
  /// Errors: kInternal, naming the block or count.
  Result<void> check_integrity() const;

 private:
  friend class BlockLease;

  static constexpr BlockId kNone = -1;

  struct Block {
    int references = 0;
    bool findable = false;
    BlockId older = kNone;  // neighbours in the list of cached blocks
    BlockId newer = kNone;
  };

  Block& at(BlockId id);
  const Block& at(BlockId id) const;
  void release(BlockId id);
  void append_cached(BlockId id);
  void remove_cached(BlockId id);

  std::vector<Block> blocks_;
  int total_ = 0;
  std::vector<BlockId> free_;  // taken from the end
  BlockId oldest_ = kNone;
  BlockId newest_ = kNone;
  int cached_ = 0;
  int leased_ = 0;
  std::function<void(BlockId)> on_reuse_;
};

inline BlockLease::~BlockLease() {
  if (pool_ != nullptr) pool_->release(id_);
}

}  // namespace pippin::engine
