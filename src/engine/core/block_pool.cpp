#include "engine/core/block_pool.h"

#include <fmt/format.h>

#include "base/check.h"

namespace pippin::engine {

BlockPool::BlockPool(int blocks) : total_(blocks) {
  CHECK(blocks > 0);
  blocks_.resize(static_cast<size_t>(blocks));
  free_.reserve(static_cast<size_t>(blocks));
  for (BlockId id = blocks - 1; id >= 0; --id) free_.push_back(id);
}

BlockPool::~BlockPool() { CHECK(leased_ == 0, "a lease outlives its pool"); }

BlockPool::Block& BlockPool::at(BlockId id) {
  CHECK(id >= 0 && id < total());
  return blocks_[static_cast<size_t>(id)];
}

const BlockPool::Block& BlockPool::at(BlockId id) const {
  CHECK(id >= 0 && id < total());
  return blocks_[static_cast<size_t>(id)];
}

void BlockPool::resize(int blocks) {
  CHECK(blocks > 0 && blocks <= capacity());
  for (BlockId id = blocks; id < total_; ++id) {
    CHECK(at(id).references == 0, "a block in use stays in service");
    if (!at(id).findable) continue;
    remove_cached(id);
    if (on_reuse_) on_reuse_(id);
    at(id).findable = false;
  }
  std::erase_if(free_, [blocks](BlockId id) { return id >= blocks; });
  // Taken last, as their memory has to be touched anew.
  std::vector<BlockId> back;
  for (BlockId id = blocks - 1; id >= total_; --id) back.push_back(id);
  free_.insert(free_.begin(), back.begin(), back.end());
  total_ = blocks;
}

std::optional<BlockLease> BlockPool::acquire() {
  BlockId id = kNone;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (oldest_ != kNone) {
    id = oldest_;
    remove_cached(id);
    if (on_reuse_) on_reuse_(id);
    at(id).findable = false;
  } else {
    return std::nullopt;
  }
  Block& block = at(id);
  CHECK(block.references == 0 && !block.findable);
  block.references = 1;
  ++leased_;
  return BlockLease(this, id);
}

BlockLease BlockPool::lease(BlockId id) {
  Block& block = at(id);
  if (block.references == 0) {
    CHECK(block.findable, "a free block has no content to lease");
    remove_cached(id);
    ++leased_;
  }
  ++block.references;
  return BlockLease(this, id);
}

void BlockPool::set_findable(BlockId id, bool findable) {
  Block& block = at(id);
  if (block.findable == findable) return;
  CHECK(block.references > 0 || block.findable, "a free block has no content to find");
  block.findable = findable;
  if (block.references == 0) {
    remove_cached(id);
    free_.push_back(id);
  }
}

void BlockPool::release(BlockId id) {
  Block& block = at(id);
  CHECK(block.references > 0);
  if (--block.references > 0) return;
  --leased_;
  if (block.findable) {
    append_cached(id);
  } else {
    free_.push_back(id);
  }
}

void BlockPool::append_cached(BlockId id) {
  Block& block = at(id);
  block.older = newest_;
  block.newer = kNone;
  (newest_ == kNone ? oldest_ : at(newest_).newer) = id;
  newest_ = id;
  ++cached_;
}

void BlockPool::remove_cached(BlockId id) {
  Block& block = at(id);
  (block.older == kNone ? oldest_ : at(block.older).newer) = block.newer;
  (block.newer == kNone ? newest_ : at(block.newer).older) = block.older;
  block.older = block.newer = kNone;
  --cached_;
}

Result<void> BlockPool::check_integrity() const {
  const auto broken = [](std::string what) {
    return fail(Code::kInternal, "[block_pool] " + what);
  };
  if (free() + cached_ + leased_ != total()) {
    return broken(fmt::format("expected free + cached + leased = {}, got {} + {} + {}", total(),
                              free(), cached_, leased_));
  }
  int leased = 0;
  int cached = 0;
  for (BlockId id = total_; id < capacity(); ++id) {
    const Block& block = blocks_[static_cast<size_t>(id)];
    if (block.references != 0 || block.findable)
      return broken(fmt::format("block {} is out of service and used", id));
  }
  for (const Block& block : blocks_) {
    if (block.references < 0) return broken("a block has a negative count of references");
    if (block.references > 0) ++leased;
    if (block.references == 0 && block.findable) ++cached;
  }
  if (leased != leased_)
    return broken(fmt::format("{} blocks leased, {} counted", leased, leased_));
  if (cached != cached_)
    return broken(fmt::format("{} blocks cached, {} counted", cached, cached_));
  for (const BlockId id : free_) {
    if (at(id).references != 0 || at(id).findable) {
      return broken(fmt::format("block {} is in the free list but not free", id));
    }
  }
  int walked = 0;
  BlockId before = kNone;
  for (BlockId id = oldest_; id != kNone; before = id, id = at(id).newer) {
    if (++walked > cached_) return broken("the list of cached blocks is longer than its count");
    if (at(id).references != 0 || !at(id).findable || at(id).older != before) {
      return broken(fmt::format("block {} is in the cached list but not cached", id));
    }
  }
  if (walked != cached_ || newest_ != before)
    return broken("the list of cached blocks is cut short");
  return {};
}

}  // namespace pippin::engine
