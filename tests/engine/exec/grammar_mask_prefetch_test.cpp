// GrammarMaskPrefetch: what a worker finds out beside the device reaches the device thread in
// order, whenever it asks, and nothing is lost when a sequence or the queue ends.
#include "engine/exec/grammar_mask_prefetch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace pippin::engine {
namespace {

/// Takes any token below 32; behind 7 the tokens 8 and 9 must come, behind 9 the answer ends.
class Counting final : public Constraint {
 public:
  Result<void> accept(std::span<const Token> tokens) override {
    for (const Token token : tokens) {
      if (token == 13) return fail(Code::kTooLarge, "too ambiguous");
      taken.push_back(token);
    }
    return {};
  }
  std::vector<Token> jump_forward() override {
    return !taken.empty() && taken.back() == 7 ? std::vector<Token>{8, 9} : std::vector<Token>{};
  }
  Result<void> fill_mask(std::vector<uint32_t>& mask) override {
    mask.assign(1, static_cast<uint32_t>(taken.size()));
    return {};
  }
  bool complete() override { return !taken.empty() && taken.back() == 9; }

  std::vector<Token> taken;
};

/// Keeps a pool's only thread busy until it is opened. Outlives the pool.
class Gate {
 public:
  void hold(WorkerPool& workers) {
    EXPECT_TRUE(workers.post([this] {
      std::unique_lock lock(mutex_);
      begun_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_; });
    }));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return begun_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false, open_ = false;
};

uint32_t mask_of(GrammarMaskPrefetch& ahead) {
  const auto mask = ahead.mask();
  return mask.ok() ? (*mask)->at(0) : 1000;
}

TEST(GrammarMaskPrefetch, TheMaskFollowsEachToken) {
  WorkerPool workers(2, 16);
  const auto constraint = std::make_shared<Counting>();
  GrammarMaskPrefetch ahead(constraint, true, workers);
  EXPECT_EQ(mask_of(ahead), 0u);
  for (uint32_t count = 1; count < 200; ++count) {
    EXPECT_TRUE(ahead.advance(static_cast<Token>(count % 5)).jump_forward.empty());
    ASSERT_EQ(mask_of(ahead), count);
  }
  EXPECT_EQ(constraint->taken.size(), 199u);
}

TEST(GrammarMaskPrefetch, ForcedTokensAreTakenAndToldOnce) {
  WorkerPool workers(1, 16);
  const auto constraint = std::make_shared<Counting>();
  GrammarMaskPrefetch ahead(constraint, true, workers);
  const GrammarMaskPrefetch::Outlook outlook = ahead.advance(7);
  EXPECT_EQ(outlook.jump_forward, (std::vector<Token>{8, 9}));
  EXPECT_TRUE(outlook.complete);
  EXPECT_EQ(mask_of(ahead), 3u);
  EXPECT_EQ(constraint->taken, (std::vector<Token>{7, 8, 9}));
}

TEST(GrammarMaskPrefetch, WhatAnAnswerBeginsWithIsTakenAndToldOnce) {
  WorkerPool workers(1, 16);
  const auto constraint = std::make_shared<Counting>();
  constraint->taken = {7};
  GrammarMaskPrefetch ahead(constraint, true, workers);
  EXPECT_EQ(ahead.take_start().jump_forward, (std::vector<Token>{8, 9}));
  EXPECT_TRUE(ahead.take_start().jump_forward.empty());
  EXPECT_EQ(mask_of(ahead), 3u);
}

// A step ends with what must follow its tokens: that must not wait for the masks of other rows.
TEST(GrammarMaskPrefetch, WhatMustFollowWaitsForNoWorker) {
  Gate gate;
  WorkerPool workers(1, 16);
  const auto constraint = std::make_shared<Counting>();
  GrammarMaskPrefetch ahead(constraint, true, workers);
  EXPECT_EQ(mask_of(ahead), 0u);
  gate.hold(workers);
  EXPECT_EQ(ahead.advance(7).jump_forward, (std::vector<Token>{8, 9}));
  gate.open();
  EXPECT_EQ(mask_of(ahead), 3u);
}

TEST(GrammarMaskPrefetch, ForcedTokensAreLeftToTheModelWhereItIsAskedForEach) {
  WorkerPool workers(1, 16);
  const auto constraint = std::make_shared<Counting>();
  GrammarMaskPrefetch ahead(constraint, false, workers);
  EXPECT_TRUE(ahead.advance(7).jump_forward.empty());
  EXPECT_EQ(mask_of(ahead), 1u);
}

TEST(GrammarMaskPrefetch, AnErrorComesWithTheMask) {
  WorkerPool workers(1, 16);
  GrammarMaskPrefetch ahead(std::make_shared<Counting>(), true, workers);
  EXPECT_FALSE(ahead.advance(13).complete);
  const auto mask = ahead.mask();
  ASSERT_FALSE(mask.ok());
  EXPECT_EQ(mask.error().code, Code::kTooLarge);
}

TEST(GrammarMaskPrefetch, AFullQueueOnlyCostsTime) {
  Gate gate;
  WorkerPool workers(1, 1);
  gate.hold(workers);
  ASSERT_TRUE(workers.post([] {}));
  GrammarMaskPrefetch ahead(std::make_shared<Counting>(), true, workers);
  EXPECT_FALSE(ahead.advance(3).complete);
  EXPECT_EQ(mask_of(ahead), 1u);
  gate.open();
}

TEST(GrammarMaskPrefetch, WorkOutlivesItsSequence) {
  const auto constraint = std::make_shared<Counting>();
  {
    Gate gate;
    WorkerPool workers(1, 16);
    gate.hold(workers);
    std::optional<GrammarMaskPrefetch> ahead;
    ahead.emplace(constraint, true, workers);
    ahead.reset();
    EXPECT_EQ(constraint.use_count(), 2);
    gate.open();
  }
  EXPECT_EQ(constraint.use_count(), 1);
}

}  // namespace
}  // namespace pippin::engine
