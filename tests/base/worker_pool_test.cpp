#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>

#include "base/log.h"

namespace pippin {
namespace {

TEST(WorkerPool, RunsJobsOnSeveralThreadsAtOnce) {
  std::promise<void> first;
  std::promise<void> second;
  WorkerPool pool(2, 10);  // ends before what its jobs use
  // Each waits for the other: one thread alone would never end.
  ASSERT_TRUE(pool.post([&] { first.set_value(); second.get_future().wait(); }));
  ASSERT_TRUE(pool.post([&] { first.get_future().wait(); second.set_value(); }));
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
    ASSERT_TRUE(pool.post([&] { begun.set_value(); gate.get_future().wait(); }));
    begun.get_future().wait();
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_EQ(pool.queued(), 2u);
    EXPECT_FALSE(pool.post([&] { ran += 100; }));
    gate.set_value();
  }
  EXPECT_EQ(ran, 2);
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
