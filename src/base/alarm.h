// Alarm: calls functions later, on one thread of its own, for what has to be tried again.
// Owner: the app. Thread: in() from any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

#include "base/thread.h"

namespace pippin {

class Alarm {
 public:
  using Clock = std::chrono::steady_clock;

  Alarm();
  ~Alarm() { stop(); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  /// Has `call` called once, after `delay`, unless stop() comes before. It must not block.
  void in(Clock::duration delay, std::function<void()> call);
  /// Waits for a call under way; no other follows.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, std::function<void()>> calls_;
  bool ending_ = false;
  Thread thread_;
};

}  // namespace pippin
