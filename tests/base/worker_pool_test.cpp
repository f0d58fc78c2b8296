#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/log.h"

namespace pippin {
namespace {

TEST(WorkerPool, RunsJobsOnSeveralThreadsAtOnce) {
  std::promise<void> first;
  std::promise<void> second;
  WorkerPool pool(2, 10);  // ends before what its jobs use
  // Each waits for the other: one thread alone would never end.
  ASSERT_TRUE(pool.post([&] {
    first.set_value();
    second.get_future().wait();
  }));
  ASSERT_TRUE(pool.post([&] {
    first.get_future().wait();
    second.set_value();
  }));
}

TEST(WorkerPool, KeepsOrderWithOneThread) {
  std::vector<int> order;
  {
    WorkerPool pool(1, 100);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.post([&order, i] { order.push_back(i); }));
  }
  ASSERT_EQ(order.size(), 100u) << "the destructor drains";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(WorkerPool, RefusesJobsBeyondItsBound) {
  std::promise<void> gate;
  std::promise<void> begun;
  std::atomic<int> ran{0};
  {
    WorkerPool pool(1, 2);
    ASSERT_TRUE(pool.post([&] {
      begun.set_value();
      gate.get_future().wait();
    }));
    begun.get_future().wait();
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_EQ(pool.queued(), 2u);
    EXPECT_FALSE(pool.post([&] { ran += 100; }));
    gate.set_value();
  }
  EXPECT_EQ(ran, 2);
}

// A pool whose threads for new work are all busy until it is released.
class BusyPool {
 public:
  explicit BusyPool(size_t jobs_max) : pool(1, jobs_max) {
    std::promise<void> begun;
    EXPECT_TRUE(pool.post([&] {
      begun.set_value();
      gate_.get_future().wait();
    }));
    begun.get_future().wait();
  }
  ~BusyPool() { release(); }
  void release() {
    if (!std::exchange(released_, true)) gate_.set_value();
  }
  /// Queues a job of `owner` that adds its name to `order`.
  std::optional<WorkerPool::Place> add(const std::string& owner, bool admitted = false) {
    return pool.post([this, owner] { order += owner; }, {owner, 0, admitted});
  }

  std::string order;  // once the pool has ended

 private:
  std::promise<void> gate_;
  bool released_ = false;

 public:
  WorkerPool pool;
};

/// Runs what is queued, and returns the order.
std::string order_of(BusyPool& busy) {
  busy.release();
  while (busy.pool.queued() > 0) std::this_thread::yield();
  std::promise<void> done;
  EXPECT_TRUE(busy.pool.post([&] { done.set_value(); }, {"~", 0, true}));
  done.get_future().wait();
  return busy.order;
}

TEST(WorkerPool, TurnsAndProbesWaitForNoNewWorkAndAreNeverRefused) {
  BusyPool busy(1);
  ASSERT_TRUE(busy.add("a").has_value());
  ASSERT_FALSE(busy.add("b").has_value()) << "full";
  std::promise<void> turn;
  std::promise<void> probe;
  busy.pool.post_turn([&] { turn.set_value(); });
  busy.pool.post_probe([&] { probe.set_value(); });
  using std::chrono::seconds;
  EXPECT_EQ(turn.get_future().wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(probe.get_future().wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(busy.pool.queued(), 1u);
}

TEST(WorkerPool, OwnersTakeTurns) {
  BusyPool busy(100);
  for (const char* owner : {"a", "a", "a", "a", "b", "c", "b"})
    ASSERT_TRUE(busy.add(owner).has_value());
  EXPECT_EQ(order_of(busy), "abcabaa");
}

TEST(WorkerPool, OneOwnerHasHalfOfThePlaces) {
  BusyPool busy(4);
  EXPECT_TRUE(busy.add("a").has_value());
  EXPECT_TRUE(busy.add("a").has_value());
  EXPECT_FALSE(busy.add("a").has_value());
  EXPECT_TRUE(busy.add("b").has_value());
  EXPECT_TRUE(busy.add("c").has_value());
  EXPECT_FALSE(busy.add("d").has_value());
  EXPECT_TRUE(busy.add("a", true).has_value()) << "what was let in before has its place";
  EXPECT_EQ(order_of(busy), "abcaa");
}

TEST(WorkerPool, WithdrawnWorkFreesItsPlaceAndIsNotDone) {
  BusyPool busy(1);
  const auto place = busy.add("a");
  ASSERT_TRUE(place.has_value());
  ASSERT_FALSE(busy.add("b").has_value());
  busy.pool.withdraw(*place);
  busy.pool.withdraw(*place);  // twice is once
  EXPECT_EQ(busy.pool.queued(), 0u);
  EXPECT_TRUE(busy.add("b").has_value());
  EXPECT_EQ(order_of(busy), "b");
}

TEST(WorkerPool, LargeJobsLeaveThreadsToSmallOnes) {
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  std::atomic<int> large_run{0};
  WorkerPool pool(2, 10);
  for (const char* owner : {"a", "b", "c"})
    ASSERT_TRUE(
        pool.post([&, opened] { opened.wait(), ++large_run; }, {owner, WorkerPool::kLargeBytes})
            .has_value());
  for (int i = 0; i < 5; ++i) {
    std::promise<void> small;
    ASSERT_TRUE(
        pool.post([&] { small.set_value(); }, {"d", WorkerPool::kLargeBytes - 1}).has_value());
    EXPECT_EQ(small.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  }
  EXPECT_EQ(large_run, 0);
  gate.set_value();
  while (large_run < 3) std::this_thread::yield();
}

TEST(WorkerPool, LivesThroughAJobThatThrows) {
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);
  std::atomic<bool> ran{false};
  {
    WorkerPool pool(1, 2);
    ASSERT_TRUE(pool.post([] { throw std::runtime_error("out of luck"); }));
    ASSERT_TRUE(pool.post([&] { ran = true; }));
  }
  EXPECT_TRUE(ran);
  spdlog::set_level(level);
}

TEST(WorkerPool, ReleasesWhatAJobHeldBeforeItWaitsAgain) {
  std::promise<void> done;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  WorkerPool pool(1, 2);
  ASSERT_TRUE(pool.post([held = std::move(held)] {}));
  ASSERT_TRUE(pool.post([&] { done.set_value(); }));
  done.get_future().wait();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace pippin
