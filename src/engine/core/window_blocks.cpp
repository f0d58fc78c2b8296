#include "engine/core/window_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace pippin::engine {

WindowBlocks::WindowBlocks(WindowShape shape, int blocks, int step_tokens_max)
    : shape_(shape),
      step_blocks_(blocks_for(step_tokens_max)),
      pool_(blocks),
      cache_(pool_, shape.block_positions) {
  CHECK(shape.window > 0 && blocks >= shape.blocks_min(step_tokens_max));
}

void WindowBlocks::join(PrefixMatch& match, std::span<const BlockName> names,
                        std::span<const Token> tokens) {
  const int known = static_cast<int>(match.blocks.size());
  int full = known;
  for (int block = full - 1; block >= shape_.first_block(full * shape_.block_positions); --block)
    if (!contains(names[static_cast<size_t>(block) + 1])) full = block;

  // What the other pool has behind that place, and what this one has.
  const int start = full * shape_.block_positions;
  int positions = match.partial ? match.partial->positions : 0;
  if (full < known) {
    positions = shape_.block_positions;
    match.partial = {std::move(match.blocks[static_cast<size_t>(full)]), positions};
    while (static_cast<int>(match.blocks.size()) > full) match.blocks.pop_back();
  }
  const auto rest = tokens.subspan(static_cast<size_t>(start));
  const auto [closest, agreed] = cache_.closest_child(names[static_cast<size_t>(full)], rest);
  if (start + agreed < match.first_difference) {
    match.first_difference = start + agreed;
    match.miss = PrefixMiss::kEvicted;  // it was computed into both
  }
  positions = std::min({positions, agreed, static_cast<int>(rest.size()) - 1});
  match.window_partial = cache_.lease_partial(closest, positions);
  match.tokens = start;
  if (match.window_partial) {
    match.partial->positions = positions;
    match.tokens += positions;
  } else {
    match.partial.reset();
  }

  match.window.first = shape_.first_block(start);  // so that the copy can still be given up
  match.window.blocks.resize(static_cast<size_t>(match.window.first));
  for (int block = match.window.first; block < full; ++block)
    match.window.blocks.push_back(cache_.lease(names[static_cast<size_t>(block) + 1]));
}

int WindowBlocks::wanted(int computed, int length) const {
  return std::min(blocks_for(length) - shape_.first_block(computed), shape_.blocks_over(1));
}

bool WindowBlocks::cover(WindowTable& table, int end) {
  for (const int blocks = blocks_for(end); table.size() < blocks;) {
    std::optional<BlockLease> lease = pool_.acquire();
    if (!lease) return false;
    table.blocks.push_back(*std::move(lease));
  }
  return true;
}

BlockId WindowBlocks::append(WindowTable& table) {
  table.blocks.push_back(*pool_.acquire());
  return table.blocks.back().id();
}

void WindowBlocks::release_unseen(WindowTable& table, int computed) const {
  for (const int seen = shape_.first_block(computed); table.first < seen; ++table.first)
    table.blocks[static_cast<size_t>(table.first)] = BlockLease();
}

void WindowBlocks::write_ids(const WindowTable& table, int end, std::vector<BlockId>& ids) const {
  const int blocks = blocks_for(end);
  CHECK(blocks <= table.size(), "what is planned is covered");
  ids.assign(static_cast<size_t>(blocks), -1);
  for (size_t i = static_cast<size_t>(table.first); i < ids.size(); ++i)
    ids[i] = table.blocks[i].id();
}

Result<void> WindowBlocks::check_integrity() const {
  RETURN_IF_ERROR(pool_.check_integrity());
  return cache_.check_integrity();
}

Result<void> WindowBlocks::check_table(const WindowTable& table, int computed) const {
  const auto broken = [&](std::string what) {
    return fail(Code::kInternal,
                fmt::format("[window_blocks] with {} positions computed {}", computed, what));
  };
  if (table.first != shape_.first_block(computed))
    return broken(fmt::format("the table begins at block {}", table.first));
  if (table.size() < blocks_for(computed))
    return broken(fmt::format("the table has {} blocks", table.size()));
  for (int i = 0; i < table.size(); ++i) {
    if ((table.blocks[static_cast<size_t>(i)].id() >= 0) != (i >= table.first))
      return broken(fmt::format("block {} is {}", i, i >= table.first ? "missing" : "held"));
  }
  return {};
}

}  // namespace pippin::engine
