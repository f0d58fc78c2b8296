// Threads: what throws at their root, and what happens where the system has no more of them.
#include "base/thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "base/no_more_threads.h"
#include "base/thread_pool.h"
#include "base/worker_pool.h"

namespace pippin {
namespace {

using testing::NoMoreThreads;

TEST(Thread, WhatIsThrownEndsTheThreadAlone) {
  std::atomic<int> ran = 0;
  {
    Thread first("[test]", [&] {
      ++ran;
      throw std::runtime_error("at the root");
    });
    const Thread second("[test]", [&] {
      ++ran;
      throw 7;
    });
    first.join();
    first.join();  // again: nothing
    first = Thread("[test]", [&] { ++ran; });
  }
  EXPECT_EQ(ran, 3) << "the end waits for them";
}

#ifdef __GLIBC__
TEST(Thread, TheStackIsNotSmallWhereTheSystemsIs) {
  pthread_attr_t before = {}, small = {};
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(pthread_getattr_default_np(&small), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&small, 256 << 10), 0);
  ASSERT_EQ(pthread_setattr_default_np(&small), 0);
  size_t stack_bytes = 0;
  Thread("[test]", [&] {
    pthread_attr_t own = {};
    if (pthread_getattr_np(pthread_self(), &own) == 0)
      pthread_attr_getstacksize(&own, &stack_bytes);
    pthread_attr_destroy(&own);
  }).join();
  pthread_setattr_default_np(&before);
  pthread_attr_destroy(&small);
  pthread_attr_destroy(&before);
  EXPECT_GE(stack_bytes, Thread::kStackBytesMin);
}
#endif

TEST(Thread, AnErrorWhereTheSystemHasNoMore) {
  if (!NoMoreThreads::possible()) GTEST_SKIP() << "not to be had on this system";
  const NoMoreThreads none;
  const Result<Thread> thread = Thread::start("[test]", [] {});
  ASSERT_FALSE(thread.ok());
  EXPECT_EQ(thread.error().code, Code::kUnavailable);
  EXPECT_TRUE(thread.error().message.starts_with("[test] no thread could be started: "));
  EXPECT_THROW(WorkerPool(2, 8), std::system_error);
  EXPECT_THROW(ThreadPool(2), std::system_error);
}

TEST(ThreadPoolThrows, WhatAPieceThrowsOnceAllAreDone) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> done = 0;
      const auto run = [&] {
        pool.run(64, [&](int piece, int) {
          if (piece % 9 == 4) throw std::runtime_error("a piece");
          ++done;
        });
      };
      EXPECT_THROW(run(), std::runtime_error);
      if (threads > 1) {
        EXPECT_EQ(done, 57);
      }
      done = 0;
      pool.run(64, [&](int, int) { ++done; });
      EXPECT_EQ(done, 64) << "the next job is as ever";
    }
  }
}

}  // namespace
}  // namespace pippin
