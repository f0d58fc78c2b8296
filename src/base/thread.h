// Thread: a thread that cannot end the process. Its root runs by guarded(), and its end is waited
// for. Nobody else makes threads: tools/tidy sees to it. Owner: who started it.
#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "base/result.h"

namespace pippin {

class Thread {
 public:
  Thread() = default;
  /// Starts a thread. `where` names its job in the log, should `work` throw: "[pull]".
  /// Errors: throws std::system_error, where the system has no more threads.
  template <typename Work>
  Thread(std::string_view where, Work work)
      : thread_([where = std::string(where), work = std::move(work)]() mutable {
          static_cast<void>(guarded(where, work));
        }) {}
  /// Likewise. Errors: kUnavailable, where the system has no more threads.
  template <typename Work>
  static Result<Thread> start(std::string_view where, Work work) {
    try {
      return Thread(where, std::move(work));
    } catch (const std::system_error& thrown) {
      return fail(Code::kUnavailable,
                  std::string(where) + " no thread could be started: " + thrown.what());
    }
  }
  ~Thread() { join(); }
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& other) noexcept {
    join();
    thread_ = std::move(other.thread_);
    return *this;
  }

  /// Waits for its end. Does nothing where none runs.
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

}  // namespace pippin
