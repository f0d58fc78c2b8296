#include "engine/core/prefix_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace pippin::engine {
namespace {

int common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const size_t n = std::min(a.size(), b.size());
  size_t same = 0;
  while (same < n && a[same] == b[same] && a[same] >= 0) ++same;
  return static_cast<int>(same);
}

}  // namespace

PrefixCache::PrefixCache(BlockPool& pool, int block_positions)
    : pool_(pool), block_positions_(block_positions) {
  CHECK(block_positions > 0);
  const size_t blocks = static_cast<size_t>(pool.total());
  entries_.resize(blocks);
  tokens_.resize(blocks * static_cast<size_t>(block_positions));
  full_.reserve(blocks);
  newest_child_.reserve(blocks);
  pool_.set_on_reuse([this](BlockId id) { evict(id); });
}

std::span<const Token> PrefixCache::recorded_tokens(BlockId id) const {
  return {tokens_.data() + static_cast<ptrdiff_t>(id) * block_positions_,
          static_cast<size_t>(at(id).filled)};
}

std::pair<BlockId, int> PrefixCache::closest_child(const BlockHash& parent,
                                                   std::span<const Token> tokens) const {
  BlockId closest = kNone;
  int agreed = 0;
  const auto newest = newest_child_.find(parent);
  if (newest == newest_child_.end()) return {closest, agreed};
  int looked_at = 0;
  for (BlockId id = newest->second; id != kNone && looked_at < kSiblingsMax; id = at(id).older) {
    const int common = common_prefix(recorded_tokens(id), tokens);
    if (common > agreed) {
      closest = id;
      agreed = common;
    }
    ++looked_at;
  }
  return {closest, agreed};
}

std::pair<BlockId, int> PrefixCache::longest_whole_child(const BlockHash& parent,
                                                         std::span<const Token> tokens) const {
  BlockId longest = kNone;
  int whole = 0;
  const auto newest = newest_child_.find(parent);
  if (newest == newest_child_.end()) return {longest, whole};
  int looked_at = 0;
  for (BlockId id = newest->second; id != kNone && looked_at < kSiblingsMax; id = at(id).older) {
    const int filled = at(id).filled;
    if (filled > whole && filled <= static_cast<int>(tokens.size()) &&
        common_prefix(recorded_tokens(id), tokens) == filled) {
      longest = id;
      whole = filled;
    }
    ++looked_at;
  }
  return {longest, whole};
}

void PrefixCache::record(BlockId block, const BlockHash& parent, std::span<const Token> tokens,
                         const BlockHash* hash) {
  Entry& entry = at(block);
  const bool fresh = entry.filled == 0;
  CHECK(!entry.full, "a full block is never written again");
  CHECK(fresh || entry.parent == parent, "a block has one place in one chain");
  const int filled = entry.filled + static_cast<int>(tokens.size());
  CHECK(filled <= block_positions_);
  std::copy(tokens.begin(), tokens.end(),
            tokens_.begin() + static_cast<ptrdiff_t>(block) * block_positions_ + entry.filled);
  entry.filled = filled;
  if (fresh) {
    entry.parent = parent;
    link(block);
  }
  if (filled == block_positions_) {
    CHECK(hash != nullptr);
    if (!full_.try_emplace(*hash, block).second) {
      forget(block);  // two sequences computed the same block at once; the first copy serves all
      return;
    }
    entry.hash = *hash;
    entry.full = true;
  }
  pool_.set_findable(block, true);
}

void PrefixCache::forget(BlockId block) {
  unlink(block);
  pool_.set_findable(block, false);
}

void PrefixCache::link(BlockId id) {
  Entry& entry = at(id);
  const auto [newest, inserted] = newest_child_.try_emplace(entry.parent, id);
  entry.newer = kNone;
  entry.older = inserted ? kNone : newest->second;
  if (!inserted) {
    at(newest->second).newer = id;
    newest->second = id;
  }
}

/// Forgets a block that is reused, but for its hash.
void PrefixCache::evict(BlockId id) {
  if (at(id).full && evicted_.insert(at(id).hash).second) {
    evicted_order_.push_back(at(id).hash);
    if (evicted_order_.size() > entries_.size()) {
      evicted_.erase(evicted_order_.front());
      evicted_order_.pop_front();
    }
  }
  unlink(id);
}

void PrefixCache::unlink(BlockId id) {
  Entry& entry = at(id);
  if (entry.filled == 0) return;
  if (entry.full) full_.erase(entry.hash);
  if (entry.older != kNone) at(entry.older).newer = entry.newer;
  if (entry.newer != kNone) {
    at(entry.newer).older = entry.older;
  } else if (entry.older != kNone) {
    newest_child_.at(entry.parent) = entry.older;
  } else {
    newest_child_.erase(entry.parent);
  }
  entry = Entry{};
}

Result<void> PrefixCache::check_integrity() const {
  const auto broken = [](std::string what) {
    return fail(Code::kInternal, "[prefix_cache] " + what);
  };
  size_t full = 0;
  size_t linked = 0;
  for (BlockId id = 0; id < pool_.total(); ++id) {
    const Entry& entry = at(id);
    if (entry.full) {
      ++full;
      const auto found = full_.find(entry.hash);
      if (found == full_.end() || found->second != id) {
        return broken(fmt::format("block {} is not found by its hash", id));
      }
    }
    if (entry.filled > 0) ++linked;
  }
  if (full != full_.size()) {
    return broken(fmt::format("{} blocks are full, {} are findable", full, full_.size()));
  }
  size_t walked = 0;
  for (const auto& [parent, newest] : newest_child_) {
    BlockId newer = kNone;
    for (BlockId id = newest; id != kNone; newer = id, id = at(id).older) {
      if (++walked > linked) return broken("the lists of children have a cycle");
      if (at(id).parent != parent || at(id).newer != newer || at(id).filled == 0) {
        return broken(fmt::format("block {} is in the wrong list of children", id));
      }
    }
  }
  if (walked != linked) return broken(fmt::format("{} of {} children are linked", walked, linked));
  return {};
}

}  // namespace pippin::engine
