#include "service/serial_task.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace pippin::service {
namespace {

TEST(SerialTask, RunsAloneAndAfterTheLastRing) {
  std::atomic<int> inside = 0, rung = 0, seen = 0;
  std::atomic<bool> overlapped = false;
  {
    WorkerPool workers(4, 1024);
    const auto task = std::make_shared<SerialTask>(workers, [&] {
      if (inside.fetch_add(1) > 0) overlapped = true;
      seen = rung.load();
      inside.fetch_sub(1);
    });
    std::vector<std::thread> ringers;
    for (int i = 0; i < 4; ++i) {
      ringers.emplace_back([&] {
        for (int n = 0; n < 5000; ++n) {
          rung.fetch_add(1);
          task->notify();
        }
      });
    }
    for (std::thread& ringer : ringers) ringer.join();
  }  // the pool runs what is queued
  EXPECT_FALSE(overlapped);
  EXPECT_EQ(seen, 20'000) << "a ring was lost";
}

}  // namespace
}  // namespace pippin::service
