// Ongoing: counts the answers that go on whether or not a client is connected, so that a server
// that is told to end lets them end, too. Owner: the routes' context. Thread: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace pippin::service {

class Ongoing {
 public:
  /// An answer goes on while its ticket lives. It may outlive the Ongoing.
  using Ticket = std::shared_ptr<void>;

  Ticket begin() {
    {
      const std::lock_guard lock(state_->mutex);
      ++state_->count;
    }
    return {nullptr, [state = state_](void*) {
              const std::lock_guard lock(state->mutex);
              --state->count;
              state->ended.notify_all();
            }};
  }

  int count() const {
    const std::lock_guard lock(state_->mutex);
    return state_->count;
  }

  /// Returns once none goes on; false, if that was not so at `end`.
  bool wait_until(std::chrono::steady_clock::time_point end) const {
    std::unique_lock lock(state_->mutex);
    return state_->ended.wait_until(lock, end, [this] { return state_->count == 0; });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable ended;
    int count = 0;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace pippin::service
