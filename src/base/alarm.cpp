#include "base/alarm.h"

#include <utility>

#include "base/guarded.h"

namespace pippin {

Alarm::Alarm() : thread_("[alarm]", [this] { run(); }) {}

void Alarm::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Alarm::in(Clock::duration delay, std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    calls_.emplace(Clock::now() + delay, std::move(call));
  }
  changed_.notify_one();
}

void Alarm::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (calls_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Clock::time_point next = calls_.begin()->first;
    if (Clock::now() < next) {
      changed_.wait_until(lock, next);
      continue;
    }
    auto due = calls_.extract(calls_.begin());
    lock.unlock();
    static_cast<void>(guarded("[alarm]", due.mapped()));
    due = {};  // what it held goes outside the lock
    lock.lock();
  }
}

}  // namespace pippin
