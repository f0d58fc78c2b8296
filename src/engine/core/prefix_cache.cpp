#include "engine/core/prefix_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace pippin::engine {
namespace {

int common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const size_t n = std::min(a.size(), b.size());
  const auto end = std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin());
  return static_cast<int>(end.first - a.begin());
}

}  // namespace

PrefixCache::PrefixCache(BlockPool& pool, int block_positions)
    : pool_(pool), block_positions_(block_positions) {
  CHECK(block_positions > 0);
  const size_t blocks = static_cast<size_t>(pool.total());
  entries_.resize(blocks);
  tokens_.resize(blocks * static_cast<size_t>(block_positions));
  named_.reserve(blocks);
  newest_child_.reserve(blocks);
  pool_.set_on_reuse([this](BlockId id) { evict(id); });
}

BlockName PrefixCache::root(std::string_view salt) {
  const BlockName root = namer_.root(salt);
  if (std::find(roots_.begin(), roots_.end(), root) == roots_.end()) {
    roots_.push_front(root);
    if (roots_.size() > kRootsMax) roots_.pop_back();
  }
  return root;
}

std::span<const Token> PrefixCache::recorded_tokens(BlockId id) const {
  return {tokens_.data() + static_cast<ptrdiff_t>(id) * block_positions_,
          static_cast<size_t>(at(id).filled)};
}

int PrefixCache::count_full_blocks(std::span<const BlockName> names,
                                   std::span<const Token> tokens) const {
  const int blocks_max = (static_cast<int>(tokens.size()) - 1) / block_positions_;
  int blocks = 0;
  while (blocks < blocks_max && contains(names[static_cast<size_t>(blocks) + 1])) ++blocks;
  return blocks;
}

PrefixMatch PrefixCache::match(std::span<const BlockName> names, std::span<const Token> tokens) {
  CHECK(!tokens.empty() && names.size() == tokens.size() / block_positions_ + 1);
  PrefixMatch match;
  const int full = count_full_blocks(names, tokens);
  match.blocks.reserve(static_cast<size_t>(full) + 1);
  for (int i = 1; i <= full; ++i) {
    match.blocks.push_back(lease(names[static_cast<size_t>(i)]));
  }
  match.tokens = full * block_positions_;
  const auto rest = tokens.subspan(static_cast<size_t>(match.tokens));
  const auto [closest, agreed] = closest_child(names[static_cast<size_t>(full)], rest);
  match.first_difference = match.tokens + agreed;
  match.miss = miss_after(names, tokens, full, closest, agreed);
  match.partial = lease_partial(closest, std::min(agreed, static_cast<int>(rest.size()) - 1));
  if (match.partial) match.tokens += match.partial->positions;
  return match;
}

std::optional<PrefixMatch::Partial> PrefixCache::lease_partial(BlockId block, int positions) {
  if (positions < kCopyPositionsMin) return std::nullopt;
  return PrefixMatch::Partial{pool_.lease(block), positions};
}

/// Tells why the cache ends after `full` blocks and `agreed` tokens of their closest child.
PrefixMiss PrefixCache::miss_after(std::span<const BlockName> names, std::span<const Token> tokens,
                                   int full, BlockId closest, int agreed) {
  const size_t next = static_cast<size_t>(full) + 1;
  const int known = full * block_positions_ + agreed;
  if (known >= static_cast<int>(tokens.size())) return PrefixMiss::kNone;
  if (next < names.size() && evicted_.contains(names[next])) return PrefixMiss::kEvicted;
  if (closest != kNone) {
    return agreed == at(closest).filled ? PrefixMiss::kContinues : PrefixMiss::kDiffers;
  }
  if (newest_child_.contains(names[next - 1])) return PrefixMiss::kDiffers;
  if (full > 0) return PrefixMiss::kContinues;
  return known_to_another_root(names.front(), tokens) ? PrefixMiss::kOtherSalt : PrefixMiss::kNew;
}

bool PrefixCache::known_to_another_root(const BlockName& own, std::span<const Token> tokens) {
  if (tokens.size() < static_cast<size_t>(block_positions_)) return false;
  const auto first = tokens.first(static_cast<size_t>(block_positions_));
  return std::any_of(roots_.begin(), roots_.end(), [&](const BlockName& root) {
    return root != own && contains(child(root, first));
  });
}

std::pair<BlockId, int> PrefixCache::closest_child(const BlockName& parent,
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

void PrefixCache::record(BlockId block, const BlockName& parent, std::span<const Token> tokens,
                         const BlockName* name) {
  Entry& entry = at(block);
  const bool fresh = entry.filled == 0;
  CHECK(!entry.named, "a full block is never written again");
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
    CHECK(name != nullptr);
    if (!named_.try_emplace(*name, block).second) {
      forget(block);  // two sequences computed the same block at once; the first copy serves all
      pool_.set_findable(block, false);
      return;
    }
    entry.name = *name;
    entry.named = true;
  }
  pool_.set_findable(block, true);
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

/// Forgets a block that is reused, but for its name.
void PrefixCache::evict(BlockId id) {
  if (at(id).named && evicted_.insert(at(id).name).second) {
    evicted_order_.push_back(at(id).name);
    if (evicted_order_.size() > entries_.size()) {
      evicted_.erase(evicted_order_.front());
      evicted_order_.pop_front();
    }
  }
  forget(id);
}

void PrefixCache::forget(BlockId id) {
  Entry& entry = at(id);
  if (entry.filled == 0) return;
  if (entry.named) named_.erase(entry.name);
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
  size_t named = 0;
  size_t linked = 0;
  for (BlockId id = 0; id < pool_.total(); ++id) {
    const Entry& entry = at(id);
    if (entry.named) {
      ++named;
      const auto found = named_.find(entry.name);
      if (found == named_.end() || found->second != id) {
        return broken(fmt::format("block {} is not found by its name", id));
      }
    }
    if (entry.filled > 0) ++linked;
  }
  if (named != named_.size()) {
    return broken(fmt::format("{} blocks have names, {} are findable", named, named_.size()));
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
