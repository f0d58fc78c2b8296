// Thread: a thread that cannot end the process, with a stack that is never small. Its root runs by
// guarded(), and its end is waited for. Nobody else makes threads: tools/tidy sees to it. Owner:
// who started it.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/guarded.h"
#include "base/result.h"

namespace pippin {

class Thread {
 public:
  /// The smallest stack. Bounds on recursion count on it. By themselves systems give less: 512 KiB
  /// on macOS, 2 MiB on Linux where `ulimit -s` is unlimited. What is not touched takes no memory.
  static constexpr size_t kStackBytesMin = 8 << 20;

  Thread() = default;
  /// Starts a thread. `where` names its job in the log, should `work` throw: "[pull]".
  /// Errors: throws std::system_error, where the system has no more threads.
  template <typename Work>
  Thread(std::string_view where, Work work)
      : Thread(std::make_unique<GuardedRoot<Work>>(std::string(where), std::move(work))) {}
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
  Thread(Thread&& other) noexcept : handle_(std::exchange(other.handle_, std::nullopt)) {}
  Thread& operator=(Thread&& other) noexcept {
    join();
    handle_ = std::exchange(other.handle_, std::nullopt);
    return *this;
  }

  /// Waits for its end. Does nothing where none runs.
  void join();

 private:
  /// What a thread runs.
  struct Root {
    virtual ~Root() = default;
    virtual void run() = 0;
  };
  template <typename Work>
  struct GuardedRoot final : Root {
    GuardedRoot(std::string name, Work given) : where(std::move(name)), work(std::move(given)) {}
    void run() override { static_cast<void>(guarded(where, work)); }
    std::string where;
    Work work;
  };

  explicit Thread(std::unique_ptr<Root> root);
  static void* run(void* root);

  std::optional<pthread_t> handle_;
};

}  // namespace pippin
