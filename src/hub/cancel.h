// Cancel: asks long work to stop. Owner: the caller of the work, which outlives it. Thread: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace pippin::hub {

class Cancel {
 public:
  /// Asks; for good.
  void request() {
    const std::lock_guard lock(mutex_);
    requested_ = true;
    asked_.notify_all();
  }
  bool requested() const {
    const std::lock_guard lock(mutex_);
    return requested_;
  }
  /// Waits for a request, `limit` at most. Returns whether one has come.
  bool wait_for(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    return asked_.wait_for(lock, limit, [this] { return requested_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable asked_;
  bool requested_ = false;
};

}  // namespace pippin::hub
