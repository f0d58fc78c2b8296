// ThreadPool: the CPU kernel pool. Persistent threads share numbered pieces of one job at a time;
// they spin briefly, then sleep on a futex. Owner: the engine's device. Thread: run() from one
// thread at a time (the device thread), which works as thread 0.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace pippin {

/// Returns the number of CPUs this process may run on (affinity mask and cgroup quota counted).
int allowed_cpus();

class ThreadPool {
 public:
  /// Starts threads - 1 workers; the caller of run() is the remaining one. Requires: threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Names memory that `thread` will read soon. While it waits it calls that into its cache, so
  /// that the memory works on where the threads stand. A hint: nothing is read, and the memory may
  /// go. Requires: thread is in [0, threads()). Thread: run()'s.
  void expect(int thread, const void* from, size_t bytes);

  /// Calls fn(piece, thread) once for each piece in [0, pieces), and returns when all are done.
  /// Each thread begins with its own run of neighbouring pieces, then helps the others. `thread` is
  /// in [0, threads()). fn must not throw and must not call run(). Cost: about a microsecond when
  /// the workers are awake.
  template <typename Fn>
  void run(int pieces, Fn&& fn) {
    run_erased(
        pieces,
        [](void* ctx, int piece, int thread) {
          (*static_cast<std::remove_reference_t<Fn>*>(ctx))(piece, thread);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using Invoke = void (*)(void* context, int piece, int thread);
  void run_erased(int pieces, Invoke invoke, void* context);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pippin
