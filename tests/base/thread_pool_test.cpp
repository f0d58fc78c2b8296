#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace pippin {
namespace {

TEST(ThreadPool, RunsEachPieceOnceForAnyNumberOfThreads) {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int pieces : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(pieces));
      std::atomic<bool> thread_in_range{true};
      pool.run(pieces, [&](int piece, int thread) {
        calls.at(static_cast<size_t>(piece)).fetch_add(1);
        if (thread < 0 || thread >= threads) thread_in_range = false;
      });
      for (const auto& count : calls) EXPECT_EQ(count.load(), 1);
      EXPECT_TRUE(thread_in_range);
    }
  }
}

TEST(ThreadPool, ManyShortJobsSeeTheirOwnContext) {
  ThreadPool pool(3);
  std::mt19937 random(1);
  for (int job = 0; job < 20000; ++job) {
    const int pieces = 1 + static_cast<int>(random() % 6);
    std::vector<int> out(static_cast<size_t>(pieces),
                         -1);  // plain memory: a lost happens-before shows in TSan
    pool.run(pieces,
             [&out, job](int piece, int) { out[static_cast<size_t>(piece)] = job + piece; });
    for (int piece = 0; piece < pieces; ++piece)
      ASSERT_EQ(out[static_cast<size_t>(piece)], job + piece);
  }
}

TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(2));  // past the spin: the worker is asleep
    // Each piece waits for the other, so the job ends only if both threads take part.
    std::atomic<int> arrived{0};
    pool.run(2, [&](int, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived.load(), 2);
  }
}

TEST(ThreadPool, CallerWaitsForASlowWorker) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  int slow_result = 0;
  pool.run(2, [&](int, int thread) {
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
    if (thread == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // far past the caller's spin
      slow_result = 42;
    }
  });
  EXPECT_EQ(slow_result, 42);
}

TEST(ThreadPool, PrefetchedMemoryIsNeverRead) {
  ThreadPool pool(3);
  std::atomic<int> calls{0};
  for (int job = 0; job < 200; ++job) {
    for (int thread = 0; thread < pool.threads(); ++thread)  // nothing is mapped there
      pool.prefetch(thread, reinterpret_cast<const void*>(static_cast<uintptr_t>(4096 + job)),
                    1 << 20);
    pool.run(3, [&](int, int) { ++calls; });
  }
  EXPECT_EQ(calls, 600);
}

TEST(ThreadPool, AllowedCpusIsPositive) {
  const int cpus = allowed_cpus();
  EXPECT_GE(cpus, 1);
  EXPECT_LE(cpus, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace pippin
