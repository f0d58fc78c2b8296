#include "engine/core/kv_groups.h"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace pippin::engine {
namespace {

constexpr int kPositions = 8;

std::string hex(const BlockHash& hash) {
  std::string out;
  for (const uint8_t byte : hash.bytes) out += fmt::format("{:02x}", byte);
  return out;
}

TEST(BlockHash, IsTheSha256OfParentTokensAndSalt) {
  BlockHasher hasher;
  // sha256("") and sha256("abc") as FIPS 180-4 gives them.
  EXPECT_EQ(hex(hasher.root("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(hasher.root("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // python3: hashlib.sha256(bytes(32) + struct.pack('<4i', 1, 2, 3, 4) + b'image').hexdigest()
  const std::vector<Token> tokens = {1, 2, 3, 4};
  EXPECT_EQ(hex(hasher.child(BlockHash{}, tokens, "image")),
            "b2dee056ba2d1ecfb4c9d2e75f2d9a312078f33c23d076a8a8f0616bcf0da895");
}

TEST(BlockHash, DependsOnEverythingBefore) {
  BlockHasher hasher;
  const std::vector<Token> tokens = {1, 2, 3, 4};
  const std::vector<Token> others = {1, 2, 3, 5};
  const BlockHash root = hasher.root("model");
  EXPECT_EQ(hasher.child(root, tokens), hasher.child(root, tokens));
  EXPECT_NE(hasher.child(root, tokens), hasher.child(root, others));
  EXPECT_NE(hasher.child(root, tokens), hasher.child(hasher.root("other"), tokens));
  EXPECT_NE(hasher.child(root, tokens), hasher.child(root, tokens, "image"));
}

/// A prompt in the caches of a plan with one group.
class Chain {
 public:
  Chain(KvGroups& kv, std::vector<Token> tokens) : kv_(kv) {
    sequence_.submission.tokens = tokens;
    sequence_.submission.cache_salt = "salt";
    sequence_.tokens = std::move(tokens);
  }
  ~Chain() { release(); }

  /// Computes all tokens into fresh blocks.
  void compute() {
    StepPlan plan;
    std::vector<BlockLease> held;
    PrefixMatch nothing = kv_.no_match();
    kv_.admit(sequence_, nothing, plan, held);
    kv_.commit(sequence_, sequence_.length(), sequence_.length());
  }

  PrefixMatch match() { return kv_.match(sequence_, sequence_.length()); }
  void release() { kv_.release(sequence_, Leaving::kSound); }
  BlockId block(size_t index) const { return sequence_.kv[0].blocks[index].id(); }

 private:
  KvGroups& kv_;
  Sequence sequence_;
};

std::vector<Token> counting(int tokens, Token first = 0) {
  std::vector<Token> out(static_cast<size_t>(tokens));
  std::iota(out.begin(), out.end(), first);
  return out;
}

class PrefixCacheTest : public ::testing::Test {
 protected:
  void TearDown() override {
    const Result<void> sound = kv_.group(0).check_integrity();
    EXPECT_TRUE(sound.ok()) << sound.error().message;
  }

  static SchedulerOptions options() {
    SchedulerOptions options;
    options.context_tokens_max = 100;
    options.kv = KvPlan::full(16, kPositions);
    return options;
  }

  KvGroups kv_{options()};
  BlockPool& pool_ = kv_.group(0).pool();
};

TEST_F(PrefixCacheTest, FindsFullBlocksOfAReleasedChain) {
  Chain chain(kv_, counting(32));
  chain.compute();
  const BlockId first = chain.block(0);
  chain.release();
  EXPECT_EQ(pool_.cached(), 4);

  Chain longer(kv_, counting(40));
  const PrefixMatch match = longer.match();
  ASSERT_EQ(match.groups[0].table.blocks.size(), 4u);
  EXPECT_EQ(match.groups[0].table.blocks[0].id(), first);
  EXPECT_EQ(match.tokens, 32);
  EXPECT_EQ(match.first_difference, 32);
  EXPECT_FALSE(match.copies());
  EXPECT_EQ(pool_.leased(), 4);
}

TEST_F(PrefixCacheTest, LeavesTheLastTokenToCompute) {
  Chain chain(kv_, counting(32));
  chain.compute();
  Chain same(kv_, counting(32));
  const PrefixMatch match = same.match();
  EXPECT_EQ(match.groups[0].table.blocks.size(), 3u);
  ASSERT_TRUE(match.copies());
  EXPECT_EQ(match.groups[0].source.id(), chain.block(3));
  EXPECT_EQ(match.tokens, 31);
  EXPECT_EQ(match.first_difference, 32);  // nothing differs
}

TEST_F(PrefixCacheTest, CopiesFromABlockStillBeingFilled) {
  Chain chain(kv_, counting(22));  // two full blocks and 6 positions
  chain.compute();
  std::vector<Token> other = counting(21);
  other.insert(other.end(), {99, 98, 97});
  Chain sibling(kv_, other);
  const PrefixMatch match = sibling.match();
  EXPECT_EQ(match.groups[0].table.blocks.size(), 2u);
  ASSERT_TRUE(match.copies());
  EXPECT_EQ(match.groups[0].source.id(), chain.block(2));
  EXPECT_EQ(match.tokens, 21);
  EXPECT_EQ(match.first_difference, 21);
}

TEST_F(PrefixCacheTest, TakesTheSiblingThatAgreesLongest) {
  std::vector<Token> near = counting(16);
  near[14] = 77;
  std::vector<Token> far = counting(16);
  far[10] = 77;
  Chain first(kv_, near);
  first.compute();
  Chain second(kv_, far);
  second.compute();
  Chain wanted(kv_, counting(20));
  const PrefixMatch match = wanted.match();
  ASSERT_TRUE(match.copies());
  EXPECT_EQ(match.groups[0].source.id(), first.block(1));
  EXPECT_EQ(match.tokens, 14);
}

TEST_F(PrefixCacheTest, AShortAgreementIsNotWorthACopyButExplainsTheMiss) {
  Chain chain(kv_, counting(16));
  chain.compute();
  std::vector<Token> other = counting(16);
  other[10] = 77;
  Chain differs(kv_, other);
  const PrefixMatch match = differs.match();
  EXPECT_EQ(match.tokens, 8);
  EXPECT_FALSE(match.copies());
  EXPECT_EQ(match.first_difference, 10);
}

TEST_F(PrefixCacheTest, ASecondCopyOfABlockIsNotKept) {
  Chain first(kv_, counting(16));
  Chain second(kv_, counting(16));
  first.compute();
  second.compute();
  second.release();
  EXPECT_EQ(pool_.cached(), 0);
  EXPECT_EQ(pool_.free(), 14);
  first.release();
  EXPECT_EQ(pool_.cached(), 2);
}

TEST_F(PrefixCacheTest, AReusedBlockIsNoLongerFound) {
  Chain chain(kv_, counting(32));
  chain.compute();
  chain.release();
  std::vector<BlockLease> others;
  for (int i = 0; i < 13; ++i) others.push_back(*pool_.acquire());  // 12 free ones, then the oldest
  Chain same(kv_, counting(40));
  const PrefixMatch match = same.match();
  EXPECT_EQ(match.tokens, 24);  // the chain goes from its end
  EXPECT_EQ(match.first_difference, 24);
}

TEST_F(PrefixCacheTest, AnEmptyCacheAgreesWithNothing) {
  Chain chain(kv_, counting(5));
  const PrefixMatch match = chain.match();
  EXPECT_EQ(match.tokens, 0);
  EXPECT_EQ(match.first_difference, 0);
  EXPECT_TRUE(match.groups[0].table.blocks.empty());
}

}  // namespace
}  // namespace pippin::engine
