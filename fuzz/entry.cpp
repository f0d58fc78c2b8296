// libFuzzer's entry, the same for all targets.
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/thread.h"
#include "target.h"

namespace pippin::fuzz {
namespace {

/// Takes one input at a time. Lives as long as the process, which libFuzzer ends by exit().
class InputThread {
 public:
  void run(std::string_view input) {
    std::unique_lock lock(mutex_);
    input_ = &input;
    changed_.notify_all();
    changed_.wait(lock, [this] { return input_ == nullptr; });
  }

 private:
  // noexcept: an exception is a finding, not one of Thread's failed jobs.
  void work() noexcept {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return input_ != nullptr; });
      one_input(*input_);
      input_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::string_view* input_ = nullptr;
  Thread thread_{"[fuzz]", [this] { work(); }};
};

}  // namespace
}  // namespace pippin::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const thread = new pippin::fuzz::InputThread();
  thread->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
