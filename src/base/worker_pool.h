// WorkerPool: threads for short CPU work off the I/O and device threads: templates, tokenising,
// JSON. Owner: the app. Thread: all but the ends from any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fair_queue.h"
#include "base/thread.h"

namespace pippin {

/// A fixed number of threads for new requests, and one thread more for turns of admitted answers
/// and for probes, which therefore never wait for a new request. The queues of new requests are
/// bounded. Those of turns and probes hold at most one job for each answer and connection. The
/// destructor refuses new jobs, runs those already queued, and joins.
class WorkerPool {
 public:
  using Job = std::function<void()>;

  /// Whose new work it is, and how much.
  struct Work {
    std::string owner =
        {};  // owners take turns, and one alone may hold half of the places; "": the program itself
    size_t bytes =
        0;  // that the job reads; from kLargeBytes on it is for half of the threads alone
    bool admitted = false;  // it was let in before, so it is never refused
  };
  static constexpr size_t kLargeBytes = 256 << 10;

  /// The place of a job that waits.
  struct Place {
    std::string owner;
    uint64_t id = 0;
    bool large = false;
  };

  /// Requires: threads >= 1, jobs_max >= 1. Errors: throws std::system_error, where the system has
  /// no more threads.
  WorkerPool(int threads, size_t jobs_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Queues new work. Returns nothing, and drops the job, if all places or all of its owner's are
  /// taken, or the pool is ending. A job that throws is logged and costs nothing but itself.
  [[nodiscard]] std::optional<Place> post(Job job, Work work);
  [[nodiscard]] bool post(Job job) { return post(std::move(job), Work()).has_value(); }

  /// Drops a job that still waits, and frees its place; else does nothing.
  void withdraw(const Place& place);

  /// Queues a turn of an admitted answer, before all new work. Never refused: an answer has one
  /// turn queued at a time.
  void post_turn(Job job);

  /// Queues a probe (/health, /metrics), before all else. Never refused: a connection has one at
  /// a time.
  void post_probe(Job job);

  /// Returns whether half of the places for new work are taken.
  bool crowded() const;

  /// Returns the number of jobs that wait (running ones not counted).
  size_t queued() const;

 private:
  enum class Takes : uint8_t { kPrompt, kSmall, kAll };

  void start(Takes takes);
  void end();
  void work(Takes takes);
  std::optional<Job> next(Takes takes);
  void post_prompt(std::deque<Job>& queue, Job job);
  size_t queued_locked() const {
    return probes_.size() + turns_.size() + small_.size() + large_.size();
  }

  const size_t jobs_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;         // of the threads for new work
  std::condition_variable wake_prompt_;  // of the thread for turns and probes
  std::deque<Job> probes_, turns_;
  FairQueue small_, large_;
  uint64_t next_id_ = 0;
  size_t resting_ = 0;  // threads for new work that have none
  bool ending_ = false;
  std::vector<Thread> threads_;
};

}  // namespace pippin
