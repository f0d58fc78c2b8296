#include "engine/core/prefix_cache.h"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace pippin::engine {
namespace {

constexpr int kPositions = 8;

std::string hex(const BlockName& name) {
  std::string out;
  for (const uint8_t byte : name.bytes) out += fmt::format("{:02x}", byte);
  return out;
}

TEST(BlockName, IsTheSha256OfParentTokensAndSalt) {
  BlockNamer namer;
  // sha256("") and sha256("abc") as FIPS 180-4 gives them.
  EXPECT_EQ(hex(namer.root("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(namer.root("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // python3: hashlib.sha256(bytes(32) + struct.pack('<4i', 1, 2, 3, 4) + b'image').hexdigest()
  const std::vector<Token> tokens = {1, 2, 3, 4};
  EXPECT_EQ(hex(namer.child(BlockName{}, tokens, "image")),
            "b2dee056ba2d1ecfb4c9d2e75f2d9a312078f33c23d076a8a8f0616bcf0da895");
}

TEST(BlockName, DependsOnEverythingBefore) {
  BlockNamer namer;
  const std::vector<Token> tokens = {1, 2, 3, 4};
  const std::vector<Token> others = {1, 2, 3, 5};
  const BlockName root = namer.root("model");
  EXPECT_EQ(namer.child(root, tokens), namer.child(root, tokens));
  EXPECT_NE(namer.child(root, tokens), namer.child(root, others));
  EXPECT_NE(namer.child(root, tokens), namer.child(namer.root("other"), tokens));
  EXPECT_NE(namer.child(root, tokens), namer.child(root, tokens, "image"));
}

/// A chain of blocks as a sequence holds it.
class Chain {
 public:
  Chain(PrefixCache& cache, std::vector<Token> tokens) : cache_(cache), tokens_(std::move(tokens)) {
    names_.push_back(cache.root("salt"));
    const std::span<const Token> all = tokens_;
    for (size_t end = kPositions; end <= tokens_.size(); end += kPositions) {
      names_.push_back(cache.child(names_.back(), all.subspan(end - kPositions, kPositions)));
    }
  }

  /// Computes all tokens into fresh blocks.
  void compute(BlockPool& pool) {
    const std::span<const Token> all = tokens_;
    for (size_t begin = 0; begin < tokens_.size(); begin += kPositions) {
      const auto part = all.subspan(begin, std::min<size_t>(kPositions, all.size() - begin));
      const size_t block = begin / kPositions;
      leases_.push_back(*pool.acquire());
      const bool full = part.size() == kPositions;
      cache_.record(leases_.back().id(), names_[block], part, full ? &names_[block + 1] : nullptr);
    }
  }

  PrefixMatch match() { return cache_.match(names_, tokens_); }
  void release() {
    while (!leases_.empty()) leases_.pop_back();
  }
  BlockId block(size_t index) const { return leases_[index].id(); }

 private:
  PrefixCache& cache_;
  std::vector<Token> tokens_;
  std::vector<BlockName> names_;
  std::vector<BlockLease> leases_;
};

std::vector<Token> counting(int tokens, Token first = 0) {
  std::vector<Token> out(static_cast<size_t>(tokens));
  std::iota(out.begin(), out.end(), first);
  return out;
}

class PrefixCacheTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(pool_.check_integrity().ok());
    const Result<void> sound = cache_.check_integrity();
    EXPECT_TRUE(sound.ok()) << sound.error().message;
  }

  BlockPool pool_{16};
  PrefixCache cache_{pool_, kPositions};
};

TEST_F(PrefixCacheTest, FindsFullBlocksOfAReleasedChain) {
  Chain chain(cache_, counting(32));
  chain.compute(pool_);
  const BlockId first = chain.block(0);
  chain.release();
  EXPECT_EQ(pool_.cached(), 4);

  Chain longer(cache_, counting(40));
  const PrefixMatch match = longer.match();
  ASSERT_EQ(match.blocks.size(), 4u);
  EXPECT_EQ(match.blocks[0].id(), first);
  EXPECT_EQ(match.tokens, 32);
  EXPECT_EQ(match.first_difference, 32);
  EXPECT_FALSE(match.partial.has_value());
  EXPECT_EQ(pool_.leased(), 4);
}

TEST_F(PrefixCacheTest, LeavesTheLastTokenToCompute) {
  Chain chain(cache_, counting(32));
  chain.compute(pool_);
  Chain same(cache_, counting(32));
  const PrefixMatch match = same.match();
  EXPECT_EQ(match.blocks.size(), 3u);
  ASSERT_TRUE(match.partial.has_value());
  EXPECT_EQ(match.partial->source.id(), chain.block(3));
  EXPECT_EQ(match.partial->positions, 7);
  EXPECT_EQ(match.tokens, 31);
  EXPECT_EQ(match.first_difference, 32);  // nothing differs
}

TEST_F(PrefixCacheTest, CopiesFromABlockStillBeingFilled) {
  Chain chain(cache_, counting(22));  // two full blocks and 6 positions
  chain.compute(pool_);
  std::vector<Token> other = counting(21);
  other.insert(other.end(), {99, 98, 97});
  Chain sibling(cache_, other);
  const PrefixMatch match = sibling.match();
  EXPECT_EQ(match.blocks.size(), 2u);
  ASSERT_TRUE(match.partial.has_value());
  EXPECT_EQ(match.partial->source.id(), chain.block(2));
  EXPECT_EQ(match.partial->positions, 5);
  EXPECT_EQ(match.tokens, 21);
  EXPECT_EQ(match.first_difference, 21);
}

TEST_F(PrefixCacheTest, TakesTheSiblingThatAgreesLongest) {
  std::vector<Token> near = counting(16);
  near[14] = 77;
  std::vector<Token> far = counting(16);
  far[10] = 77;
  Chain first(cache_, near);
  first.compute(pool_);
  Chain second(cache_, far);
  second.compute(pool_);
  Chain wanted(cache_, counting(20));
  const PrefixMatch match = wanted.match();
  ASSERT_TRUE(match.partial.has_value());
  EXPECT_EQ(match.partial->source.id(), first.block(1));
  EXPECT_EQ(match.tokens, 14);
}

TEST_F(PrefixCacheTest, AShortAgreementIsNotWorthACopyButExplainsTheMiss) {
  Chain chain(cache_, counting(16));
  chain.compute(pool_);
  std::vector<Token> other = counting(16);
  other[10] = 77;
  Chain differs(cache_, other);
  const PrefixMatch match = differs.match();
  EXPECT_EQ(match.tokens, 8);
  EXPECT_FALSE(match.partial.has_value());
  EXPECT_EQ(match.first_difference, 10);
}

TEST_F(PrefixCacheTest, ASecondCopyOfABlockIsNotKept) {
  Chain first(cache_, counting(16));
  Chain second(cache_, counting(16));
  first.compute(pool_);
  second.compute(pool_);
  second.release();
  EXPECT_EQ(pool_.cached(), 0);
  EXPECT_EQ(pool_.free(), 14);
  first.release();
  EXPECT_EQ(pool_.cached(), 2);
}

TEST_F(PrefixCacheTest, AReusedBlockIsNoLongerFound) {
  Chain chain(cache_, counting(32));
  chain.compute(pool_);
  chain.release();
  std::vector<BlockLease> others;
  for (int i = 0; i < 13; ++i) others.push_back(*pool_.acquire());  // 12 free ones, then the oldest
  Chain same(cache_, counting(40));
  const PrefixMatch match = same.match();
  EXPECT_EQ(match.tokens, 24);  // the chain goes from its end
  EXPECT_EQ(match.first_difference, 24);
}

TEST_F(PrefixCacheTest, AnEmptyCacheAgreesWithNothing) {
  Chain chain(cache_, counting(5));
  const PrefixMatch match = chain.match();
  EXPECT_EQ(match.tokens, 0);
  EXPECT_EQ(match.first_difference, 0);
  EXPECT_TRUE(match.blocks.empty());
}

}  // namespace
}  // namespace pippin::engine
