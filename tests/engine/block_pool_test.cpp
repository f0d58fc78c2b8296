#include "engine/core/block_pool.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace pippin::engine {
namespace {

void expect_counts(const BlockPool& pool, int free, int cached, int leased) {
  EXPECT_EQ(pool.free(), free);
  EXPECT_EQ(pool.cached(), cached);
  EXPECT_EQ(pool.leased(), leased);
  EXPECT_TRUE(pool.check_integrity().ok());
}

TEST(BlockPool, LeasesEachBlockOnce) {
  BlockPool pool(3);
  std::vector<BlockLease> leases;
  std::vector<bool> seen(3);
  while (auto lease = pool.acquire()) {
    const size_t id = static_cast<size_t>(lease->id());
    EXPECT_FALSE(seen[id]);
    seen[id] = true;
    leases.push_back(*std::move(lease));
  }
  EXPECT_EQ(leases.size(), 3u);
  expect_counts(pool, 0, 0, 3);
  leases.pop_back();
  expect_counts(pool, 1, 0, 2);
  leases.clear();
  expect_counts(pool, 3, 0, 0);
}

TEST(BlockPool, CountsReferences) {
  BlockPool pool(2);
  std::optional<BlockLease> first = pool.acquire();
  const BlockId id = first->id();
  BlockLease second = pool.lease(id);
  EXPECT_EQ(pool.references(id), 2);
  first.reset();
  EXPECT_EQ(pool.references(id), 1);
  expect_counts(pool, 1, 0, 1);
  second = BlockLease();
  EXPECT_EQ(pool.references(id), 0);
  expect_counts(pool, 2, 0, 0);
}

TEST(BlockPool, ReusesTheOldestCachedBlockAfterTheFreeOnes) {
  BlockPool pool(4);
  std::vector<BlockId> reused;
  pool.set_on_reuse([&](BlockId id) { reused.push_back(id); });
  std::vector<BlockLease> leases;
  for (int i = 0; i < 3; ++i) {
    leases.push_back(*pool.acquire());
    pool.set_findable(leases.back().id(), true);
  }
  const BlockId a = leases[0].id();
  const BlockId b = leases[1].id();
  const BlockId c = leases[2].id();
  leases[1] = BlockLease();
  leases[0] = BlockLease();
  leases[2] = BlockLease();
  expect_counts(pool, 1, 3, 0);

  { const BlockLease used_again = pool.lease(b); }  // now the newest
  std::vector<BlockLease> all;
  while (auto lease = pool.acquire()) all.push_back(*std::move(lease));
  EXPECT_EQ(reused, (std::vector<BlockId>{a, c, b}));
  EXPECT_NE(all.front().id(), a);  // the free one came first
  expect_counts(pool, 0, 0, 4);
}

TEST(BlockPool, ForgettingACachedBlockFreesIt) {
  BlockPool pool(1);
  const BlockId id = pool.acquire()->id();
  expect_counts(pool, 1, 0, 0);
  {
    const std::optional<BlockLease> lease = pool.acquire();
    pool.set_findable(id, true);
  }
  expect_counts(pool, 0, 1, 0);
  pool.set_findable(id, false);
  expect_counts(pool, 1, 0, 0);
}

TEST(BlockPool, BlocksGoOutOfServiceAndComeBack) {
  BlockPool pool(6);
  std::vector<BlockId> reused;
  pool.set_on_reuse([&](BlockId id) { reused.push_back(id); });
  BlockLease low = *pool.acquire();
  EXPECT_EQ(low.id(), 0);
  std::vector<BlockLease> leases;
  for (int i = 0; i < 4; ++i) {
    leases.push_back(*pool.acquire());
    pool.set_findable(leases.back().id(), true);
  }
  leases.clear();
  expect_counts(pool, 1, 4, 1);
  pool.resize(3);
  EXPECT_EQ(pool.total(), 3);
  EXPECT_EQ(reused, (std::vector<BlockId>{3, 4})) << "what they held is forgotten";
  expect_counts(pool, 0, 2, 1);
  pool.resize(5);
  expect_counts(pool, 2, 2, 1);
  while (auto lease = pool.acquire()) leases.push_back(*std::move(lease));
  EXPECT_EQ(leases.size(), 4u);
  leases.clear();
  pool.resize(1);
  pool.resize(6);
  expect_counts(pool, 5, 0, 1);
}

}  // namespace
}  // namespace pippin::engine
