// WorkerPool: threads for short CPU work off the I/O and device threads: templates, tokenising, JSON.
// Owner: the app. Thread: post() from any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pippin {

/// A fixed number of threads that take jobs from one bounded queue, first come, first served.
/// The destructor refuses new jobs, runs those already queued, and joins.
class WorkerPool {
 public:
  /// Requires: threads >= 1, jobs_max >= 1.
  WorkerPool(int threads, size_t jobs_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Queues a job. Returns false, and drops the job, if the queue is full or the pool is ending.
  /// A job that throws is logged and costs nothing but itself.
  [[nodiscard]] bool post(std::function<void()> job);

  /// Returns the number of jobs that wait (running ones not counted).
  size_t queued() const;

 private:
  void work();

  const size_t jobs_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace pippin
