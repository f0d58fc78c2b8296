// ThreadPool: the CPU kernel pool. Persistent threads share numbered tasks of one job at a time;
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

  /// Prefetch hint for an idle thread. Nothing is read, and the memory may go. Requires: thread is
  /// in [0, threads()). Thread: run()'s.
  void prefetch(int thread, const void* from, size_t bytes);

  /// Calls fn(task, thread) once for each task in [0, tasks), and returns when all are done.
  /// Each thread begins with its own run of neighbouring tasks, then helps the others. `thread` is
  /// in [0, threads()). fn must not call run(). Cost: about a microsecond when the workers are
  /// awake. Errors: throws what a task threw, one of them, once all are done.
  template <typename Fn>
  void run(int tasks, Fn&& fn) {
    run_erased(
        tasks,
        [](void* ctx, int task, int thread) {
          (*static_cast<std::remove_reference_t<Fn>*>(ctx))(task, thread);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using Invoke = void (*)(void* context, int task, int thread);
  void run_erased(int tasks, Invoke invoke, void* context);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pippin
