// Alarm: in the order of their times, once each; what has not been called at the end is dropped.
#include "base/alarm.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

namespace pippin {
namespace {

using namespace std::chrono_literals;

TEST(Alarm, CallsInTheOrderOfTheirTimes) {
  Alarm alarm;
  std::vector<int> called;
  std::promise<void> last;
  const auto began = Alarm::Clock::now();
  alarm.in(60ms, [&] {
    called.push_back(2);
    last.set_value();
  });
  alarm.in(20ms, [&] { called.push_back(1); });
  last.get_future().wait();
  EXPECT_EQ(called, (std::vector<int>{1, 2}));
  EXPECT_GE(Alarm::Clock::now() - began, 60ms);
}

TEST(Alarm, ACallMaySetTheNext) {
  Alarm alarm;
  std::promise<void> second;
  alarm.in(1ms, [&] { alarm.in(1ms, [&] { second.set_value(); }); });
  EXPECT_EQ(second.get_future().wait_for(10s), std::future_status::ready);
}

TEST(Alarm, ItsEndDropsTheRest) {
  std::atomic<int> called = 0;
  const auto held = std::make_shared<int>(0);
  {
    Alarm alarm;
    alarm.in(1h, [&called, held] { ++called; });
  }
  EXPECT_EQ(called, 0);
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace pippin
