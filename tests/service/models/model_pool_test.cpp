// The model pool with made-up models: what is loaded, what goes, and who is answered when.
#include "service/models/model_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "service/models/model_pool_fixture.h"

namespace pippin::service {
namespace {

using testing_models::Answer;
using testing_models::FakeLoader;
using testing_models::kMiB;
using testing_models::kModel;

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ModelPoolTest : public testing_models::ModelPoolFixture {};

TEST_F(ModelPoolTest, LoadsWhatIsAskedForOnce) {
  make(2 * kModel, {"a", "b"});
  EXPECT_EQ(ModelState::kUnloaded, state("a"));
  EXPECT_FALSE(pool_->try_lease("a").has_value());
  const auto one = ask("a"), two = ask("default");
  EXPECT_FALSE(one->done());
  settle();
  ASSERT_TRUE(one->lease.has_value());
  EXPECT_EQ("a", (*one->lease)->id);
  ASSERT_TRUE(two->lease.has_value());
  EXPECT_TRUE(pool_->try_lease("a")->ok());
  EXPECT_EQ(Names{"a"}, loader_.loaded);
  EXPECT_EQ(kModel, pool_->used_bytes());
  EXPECT_EQ(1u, pool_->look("a")->loads);
}

TEST_F(ModelPoolTest, SaysWhichModelsThereAre) {
  make(kModel, {"a", "b"});
  const auto answer = ask("c");
  ASSERT_TRUE(answer->error.has_value());
  EXPECT_EQ(Code::kNotFound, answer->error->code);
  EXPECT_EQ("The model `c` does not exist here. Served: a, b", answer->error->message);
  EXPECT_EQ(Code::kNotFound, pool_->lease("c").error().code);
  EXPECT_EQ(Code::kUnavailable, pool_->lease("a").error().code);
  const Result<void> twice = pool_->add(spec("b"));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ("two models are called b: give one of them another name", twice.error().message);
}

TEST_F(ModelPoolTest, IsClosedUntilItIsOpened) {
  pool_ = std::make_unique<ModelPool>(kModel, loader_, nullptr, clock_);
  ASSERT_TRUE(pool_->add(spec("a")).ok());
  EXPECT_EQ(Code::kUnavailable, pool_->try_lease("a")->error().code);
  EXPECT_TRUE(get("a")->lease.has_value());  // as the program itself does at the start
}

TEST_F(ModelPoolTest, EvictsTheLeastRecentlyUsed) {
  make(2 * kModel, {"a", "b", "c"});
  get("a");
  clock_.advance(seconds(1));
  get("b");
  clock_.advance(seconds(1));
  get("a");  // now b is the older one
  clock_.advance(seconds(1));
  get("c");
  EXPECT_EQ((Names{"a", "c"}), loaded());
  clock_.advance(seconds(1));
  get("b");
  EXPECT_EQ((Names{"b", "c"}), loaded());
  EXPECT_EQ(2 * kModel, loader_.device.bytes_max);
}

TEST_F(ModelPoolTest, EvictsWhatNobodyUsesBeforeWhatIsInUse) {
  make(2 * kModel, {"a", "b", "c"});
  const auto held = get("a");
  clock_.advance(seconds(1));
  get("b");  // used later, but done
  clock_.advance(seconds(1));
  get("c");
  EXPECT_EQ((Names{"a", "c"}), loaded());
}

TEST_F(ModelPoolTest, PinnedModelsStay) {
  pool_ = std::make_unique<ModelPool>(2 * kModel, loader_, nullptr, clock_);
  ModelSpec pinned = spec("a", minutes(1));
  pinned.pinned = true;
  ASSERT_TRUE(pool_->add(std::move(pinned)).ok());
  for (const char* name : {"b", "c"}) ASSERT_TRUE(pool_->add(spec(name)).ok());
  loader_.weights["big"] = kModel;
  ASSERT_TRUE(pool_->add(spec("big")).ok());
  get("a");
  clock_.advance(minutes(5));
  get("b");
  clock_.advance(seconds(1));
  get("c");
  EXPECT_EQ((Names{"a", "c"}), loaded());
  const auto big = ask("big");
  settle();
  ASSERT_TRUE(big->error.has_value());
  EXPECT_EQ(Code::kOutOfMemory, big->error->code);
  EXPECT_EQ(
      "[models] big does not fit beside those that are pinned: it takes 180.0 MiB of the 200.0 MiB "
      "for all models, and 0 B are free or can become so",
      big->error->message);
  EXPECT_EQ((Names{"a", "c"}), loaded()) << "nothing goes in vain";
}

TEST_F(ModelPoolTest, WhatCanNeverFitIsRefusedWithNumbers) {
  loader_.weights["huge"] = 10 * kModel;
  make(2 * kModel, {"a", "huge"});
  get("a");
  const auto huge = ask("huge");
  settle();
  ASSERT_TRUE(huge->error.has_value());
  EXPECT_EQ(Code::kOutOfMemory, huge->error->code);
  EXPECT_NE(std::string::npos, huge->error->message.find("the budget is 200.0 MiB"))
      << huge->error->message;
  EXPECT_EQ(Names{"a"}, loaded());
  EXPECT_EQ(ModelState::kFailed, state("huge"));
}

TEST_F(ModelPoolTest, OneThatMayNotEvictFailsWhereOthersWouldHaveToGo) {
  make(2 * kModel, {"a", "b", "c"});
  get("a");
  get("b");
  const auto third = ask("c", {}, false);
  settle();
  ASSERT_TRUE(third->error.has_value());
  EXPECT_EQ(Code::kOutOfMemory, third->error->code);
  EXPECT_EQ((Names{"a", "b"}), loaded());
}

TEST_F(ModelPoolTest, WaitsForLeasesAndGivesNoMore) {
  make(kModel, {"a", "b"});
  const auto stream = get("a");
  const auto b = ask("b");
  settle();
  EXPECT_FALSE(b->done());
  EXPECT_EQ(ModelState::kUnloading, state("a"));
  EXPECT_FALSE(pool_->try_lease("a").has_value()) << "it would never end";
  const auto again = ask("a");
  settle();
  stream->lease.reset();
  settle();
  ASSERT_TRUE(b->lease.has_value());
  EXPECT_FALSE(again->done());
  b->lease.reset();
  settle();
  EXPECT_TRUE(again->lease.has_value());
  EXPECT_EQ((Names{"a", "b", "a"}), loader_.loaded);
}

TEST_F(ModelPoolTest, TwoWhoAlternateBothGoOn) {
  make(kModel, {"a", "b"});
  std::vector<std::shared_ptr<Answer>> all;
  for (int i = 0; i < 20; ++i) all.push_back(ask(i % 2 == 0 ? "a" : "b"));
  settle();
  // One load serves all who wait for it.
  for (int i = 0; i < 20; i += 2) EXPECT_TRUE(all[i]->lease.has_value()) << i;
  for (int i = 0; i < 20; i += 2) all[i]->lease.reset();
  settle();
  for (int i = 1; i < 20; i += 2) EXPECT_TRUE(all[i]->lease.has_value()) << i;
  EXPECT_EQ((Names{"a", "b"}), loader_.loaded);
}

// Small ones go ahead of one that waits for a long stream, and do not hold it up for ever.
TEST_F(ModelPoolTest, ASmallOneGoesAheadWhileAStreamHoldsUpALargeOne) {
  loader_.weights = {{"small", kMiB}, {"tiny", kMiB}, {"large", 100 * kMiB}};
  make(kModel + 90 * kMiB, {"a", "large", "small", "tiny"});
  const auto stream = get("a");
  const auto large = ask("large");
  const auto small = ask("small");
  settle();
  EXPECT_FALSE(large->done());
  ASSERT_TRUE(small->lease.has_value()) << "there is room for it";
  for (int i = 0; i < 3; ++i) {
    const auto next = ask("small");
    settle();
    EXPECT_TRUE(next->lease.has_value()) << "it stays while the stream goes on";
  }
  EXPECT_EQ((Names{"a", "small"}), loader_.loaded);
  stream->lease.reset();
  const auto tiny = ask("tiny");
  settle();
  EXPECT_FALSE(large->done()) << "small is in use";
  EXPECT_FALSE(tiny->done()) << "now it is the large one's turn, although there is room";
  const auto late = ask("small");
  settle();
  EXPECT_FALSE(late->done());
  small->lease.reset();
  settle();
  EXPECT_TRUE(large->lease.has_value());
  EXPECT_EQ((Names{"a", "small", "large"}), loader_.loaded);
  large->lease.reset();
  settle();
  EXPECT_TRUE(tiny->lease.has_value());
  EXPECT_TRUE(late->lease.has_value());
}

TEST_F(ModelPoolTest, APinnedOneDoesNotGoAhead) {
  loader_.weights = {{"small", kMiB}, {"large", 100 * kMiB}};
  pool_ = std::make_unique<ModelPool>(kModel + 90 * kMiB, loader_, nullptr, clock_);
  for (const char* name : {"a", "large", "small"}) {
    ModelSpec one = spec(name);
    one.pinned = one.load.id == "small";
    ASSERT_TRUE(pool_->add(std::move(one)).ok());
  }
  pool_->open();
  const auto stream = get("a");
  const auto large = ask("large"), small = ask("small");
  settle();
  EXPECT_FALSE(small->done()) << "it would never make room again";
  stream->lease.reset();
  settle();
  EXPECT_TRUE(large->lease.has_value());
}

TEST_F(ModelPoolTest, UnloadWaitsForTheLastLease) {
  make(kModel, {"a"});
  const auto one = get("a"), two = get("a");
  EXPECT_EQ(ModelState::kUnloading, *pool_->unload("a"));
  settle();
  EXPECT_EQ(Names{"a"}, loaded());
  one->lease.reset();
  settle();
  EXPECT_EQ(Names{"a"}, loaded());
  EXPECT_EQ("a", (*two->lease)->id);
  two->lease.reset();
  settle();
  EXPECT_EQ(Names{}, loaded());
  EXPECT_EQ(0u, pool_->used_bytes());
  EXPECT_EQ(0u, loader_.device.bytes);
  EXPECT_EQ(ModelState::kUnloaded, *pool_->unload("a")) << "twice is no error";
  EXPECT_EQ(Code::kNotFound, pool_->unload("z").error().code);
}

TEST_F(ModelPoolTest, AFailedLoadAnswersAllAndIsTriedAgain) {
  make(kModel, {"a", "b"});
  loader_.broken["a"] = "[gguf] no such tensor";
  const auto one = ask("a"), two = ask("a"), other = ask("b");
  settle();
  for (const auto& answer : {one, two}) {
    ASSERT_TRUE(answer->error.has_value());
    EXPECT_EQ("[gguf] no such tensor", answer->error->message);
  }
  EXPECT_TRUE(other->lease.has_value());
  EXPECT_EQ(ModelState::kFailed, state("a"));
  EXPECT_EQ("[gguf] no such tensor", pool_->look("a")->error);
  EXPECT_EQ(kModel, pool_->used_bytes()) << "b's alone";
  other->lease.reset();
  loader_.broken.clear();
  get("a");
  EXPECT_EQ("", pool_->look("a")->error);
}

TEST_F(ModelPoolTest, AWaiterWhoLeavesIsForgotten) {
  make(kModel, {"a", "b"});
  const auto stream = get("a");
  const auto gone = ask("b");
  settle();
  EXPECT_NE(nullptr, pool_->forget(gone->ticket));
  EXPECT_EQ(nullptr, pool_->forget(gone->ticket));
  stream->lease.reset();
  settle();
  EXPECT_FALSE(gone->done());
  EXPECT_EQ(Names{"a"}, loader_.loaded) << "nobody wants b any more";
  get("b");
}

TEST_F(ModelPoolTest, ADeadlineEndsTheWait) {
  make(kModel, {"a", "b"});
  const auto stream = get("a");
  const auto hasty = ask("b", clock_.now() + milliseconds(300)), patient = ask("b");
  settle();
  clock_.advance(milliseconds(299));
  EXPECT_EQ(clock_.now() + milliseconds(1), pool_->work()) << "the time to look again";
  EXPECT_FALSE(hasty->done());
  clock_.advance(milliseconds(1));
  settle();
  ASSERT_TRUE(hasty->error.has_value());
  EXPECT_EQ(Code::kTimeout, hasty->error->code);
  EXPECT_FALSE(patient->done());
}

TEST_F(ModelPoolTest, TellsTheProgressEachSecond) {
  make(kModel, {"a", "b"});
  const auto stream = get("a");
  const auto b = ask("b");
  settle();
  EXPECT_TRUE(b->progress.empty());
  clock_.advance(seconds(1));
  settle();
  EXPECT_EQ(std::vector<double>{0}, b->progress) << "it waits for a";
  loader_.during = [this](const ModelLoader::Progress& progress) {
    progress(1, 4);  // within the second
    clock_.advance(seconds(2));
    progress(2, 4);
    clock_.advance(seconds(1));
    progress(4, 4);
  };
  stream->lease.reset();
  settle();
  EXPECT_EQ((std::vector<double>{0, 0.5, 1}), b->progress);
  EXPECT_TRUE(b->lease.has_value());
}

TEST_F(ModelPoolTest, AModelGoesWhenItsTimeIsOver) {
  pool_ = std::make_unique<ModelPool>(3 * kModel, loader_, nullptr, clock_);
  ASSERT_TRUE(pool_->add(spec("a", minutes(5))).ok());
  ASSERT_TRUE(pool_->add(spec("stays")).ok());
  auto a = get("a");
  get("stays");
  clock_.advance(minutes(60));
  settle();
  EXPECT_EQ(minutes(5), pool_->look("a")->expires_in) << "in use it does not age";
  a->lease.reset();
  clock_.advance(minutes(5) - milliseconds(1));
  pool_->lease_all();  // to look is no use
  EXPECT_EQ(clock_.now() + milliseconds(1), pool_->work());
  EXPECT_EQ(ModelState::kLoaded, state("a"));
  EXPECT_EQ(milliseconds(1), pool_->look("a")->expires_in);
  clock_.advance(milliseconds(1));
  settle();
  EXPECT_EQ(Names{"stays"}, loaded());
  EXPECT_FALSE(pool_->look("stays")->expires_in.has_value());
}

TEST_F(ModelPoolTest, ARequestSaysHowLongToKeepTheModel) {
  pool_ = std::make_unique<ModelPool>(kModel, loader_, nullptr, clock_);
  ASSERT_TRUE(pool_->add(spec("a", minutes(5))).ok());
  auto a = get("a");
  a->lease->set_keep_alive(minutes(10));
  a->lease.reset();
  clock_.advance(minutes(9));
  settle();
  EXPECT_EQ(Names{"a"}, loaded());
  a = get("a");
  a->lease->set_keep_alive({});
  a->lease.reset();
  clock_.advance(std::chrono::hours(10000));
  settle();
  EXPECT_EQ(Names{"a"}, loaded());
  a = get("a");
  a->lease->set_keep_alive(Duration::max());  // must not overflow
  a->lease.reset();
  settle();
  EXPECT_EQ(Names{"a"}, loaded());
  a = get("a");
  a->lease->reset_keep_alive();
  EXPECT_EQ(minutes(5), pool_->look("a")->keep_alive);
  a->lease->set_keep_alive(Duration::zero());
  settle();
  EXPECT_EQ(Names{"a"}, loaded()) << "still in use";
  a->lease.reset();
  settle();
  EXPECT_EQ(Names{}, loaded());
  get("a");
  EXPECT_EQ(minutes(5), pool_->look("a")->keep_alive) << "loaded anew it has its own again";
}

TEST_F(ModelPoolTest, TheEndAnswersAllWhoWait) {
  make(kModel, {"a", "b"});
  auto stream = get("a");
  const auto b = ask("b");
  settle();
  pool_->close();
  ASSERT_TRUE(b->error.has_value());
  EXPECT_EQ(Code::kUnavailable, b->error->code);
  EXPECT_EQ(Code::kUnavailable, ask("b")->error->code);
  EXPECT_EQ("a", (*stream->lease)->id) << "what runs may go on";
  stream->lease.reset();
}

// Any order of requests, ends, leavings, unloads and failures: every request is answered once, and
// the memory of all loaded models is never more than the budget.
TEST_F(ModelPoolTest, HoldsUnderAThousandRandomOperations) {
  const Names names = {"a", "b", "c", "d", "e"};
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t n) {
      return std::uniform_int_distribution<size_t>(0, n - 1)(random);
    };
    loader_.broken.clear();
    loader_.weights = {{"d", 70 * kMiB}, {"e", kMiB}};
    loader_.device.bytes_max = 0;
    const uint64_t budget = (150 + below(4) * 60) * kMiB;
    pool_ = std::make_unique<ModelPool>(budget, loader_, nullptr, clock_);
    for (const std::string& name : names) {
      ModelSpec one = spec(name, below(2) == 0 ? KeepAlive() : KeepAlive(seconds(below(20))));
      one.pinned = name == "e" && below(2) == 0;
      ASSERT_TRUE(pool_->add(std::move(one)).ok());
    }
    pool_->open();
    std::vector<std::shared_ptr<Answer>> waiting;
    for (int step = 0; step < 1000; ++step) {
      const std::string& name = names[below(names.size())];
      const size_t one = waiting.empty() ? 0 : below(waiting.size());
      switch (below(8)) {
        case 0:
        case 1:
        case 2:
          waiting.push_back(ask(name, below(5) == 0
                                          ? std::optional(clock_.now() + seconds(below(9)))
                                          : std::nullopt));
          break;
        case 3:  // a request ends, or its client leaves
          if (waiting.empty()) break;
          if (!waiting[one]->done()) static_cast<void>(pool_->forget(waiting[one]->ticket));
          waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(one));
          break;
        case 4:
          static_cast<void>(pool_->unload(name));
          break;
        case 5:
          clock_.advance(milliseconds(below(5000)));
          break;
        case 6:
          if (below(4) == 0) loader_.broken[name] = "broken";
          if (below(2) == 0) loader_.broken.clear();
          break;
        default:
          break;
      }
      for (size_t i = below(4); i > 0; --i) pool_->work();
      ASSERT_LE(pool_->used_bytes(), budget);
      ASSERT_LE(loader_.device.bytes, pool_->used_bytes());
    }
    // As each request ends, the next ones get their turn, until all have had it.
    for (int round = 0; round < 2000 && !waiting.empty(); ++round) {
      settle();
      const size_t before = waiting.size();
      std::erase_if(waiting, [](const auto& answer) { return answer->done(); });
      ASSERT_LT(waiting.size(), before) << "seed " << seed << ": nobody gets on";
    }
    EXPECT_TRUE(waiting.empty());
    EXPECT_LE(loader_.device.bytes_max, budget);
    pool_.reset();
    EXPECT_EQ(0u, loader_.device.bytes) << "nothing is leaked";
  }
}

TEST_F(ModelPoolTest, ServesManyThreads) {
  const SystemClock clock;
  ModelPool pool(kModel, loader_, nullptr, clock);
  for (const char* name : {"a", "b"}) ASSERT_TRUE(pool.add(spec(name)).ok());
  pool.open();
  pool.start();
  constexpr int kThreads = 4, kRequests = 50;
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        const std::string name = (i + t) % 2 == 0 ? "a" : "b";
        if (const auto now = pool.try_lease(name)) {
          served += now->ok();
          continue;
        }
        const auto done = std::make_shared<std::promise<bool>>();
        ModelWaiter waiter;
        waiter.ready = [done](const Result<ModelLease>& lease) { done->set_value(lease.ok()); };
        pool.wait(name, std::move(waiter));
        served += done->get_future().get();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(kThreads * kRequests, served);
  EXPECT_LE(loader_.device.bytes_max, kModel);
}

}  // namespace
}  // namespace pippin::service
