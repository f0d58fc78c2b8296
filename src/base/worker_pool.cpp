#include "base/worker_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"

namespace pippin {
namespace {

WorkerPool::Job pop_front(std::deque<WorkerPool::Job>& queue) {
  WorkerPool::Job job = std::move(queue.front());
  queue.pop_front();
  return job;
}

}  // namespace

WorkerPool::WorkerPool(int threads, size_t jobs_max) : jobs_max_(jobs_max) {
  CHECK(threads >= 1);
  CHECK(jobs_max >= 1);
  threads_.reserve(static_cast<size_t>(threads) + 1);
  // Large jobs have half of the threads, so that small ones never wait for the end of a large one.
  const int for_all = std::max(1, threads / 2);
  try {
    for (int i = 0; i < threads; ++i) start(i < for_all ? Takes::kAll : Takes::kSmall);
    start(Takes::kPrompt);
  } catch (...) {  // the system has no more threads
    end();
    throw;
  }
}

WorkerPool::~WorkerPool() { end(); }

void WorkerPool::start(Takes takes) {
  threads_.emplace_back("[worker_pool]", [this, takes] { work(takes); });
}

void WorkerPool::end() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  wake_prompt_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

std::optional<WorkerPool::Place> WorkerPool::post(Job job, Work work) {
  const bool large = work.bytes >= kLargeBytes;
  Place place{std::move(work.owner), 0, large};
  {
    std::lock_guard lock(mutex_);
    if (ending_) return std::nullopt;
    if (!work.admitted) {
      if (small_.size() + large_.size() >= jobs_max_) return std::nullopt;
      const size_t theirs = small_.size_of(place.owner) + large_.size_of(place.owner);
      if (!place.owner.empty() && theirs >= std::max<size_t>(1, jobs_max_ / 2)) return std::nullopt;
    }
    place.id = next_id_++;
    (large ? large_ : small_).push(place.owner, place.id, std::move(job));
  }
  // Not every thread takes a large one.
  large ? wake_.notify_all() : wake_.notify_one();
  return place;
}

void WorkerPool::withdraw(const Place& place) {
  Job job;  // what it holds is released outside the lock
  std::lock_guard lock(mutex_);
  job = (place.large ? large_ : small_).remove(place.owner, place.id);
}

void WorkerPool::post_prompt(std::deque<Job>& queue, Job job) {
  bool to_prompt_thread = false;
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    queue.push_back(std::move(job));
    to_prompt_thread = probes_.size() + turns_.size() > resting_;
  }
  (to_prompt_thread ? wake_prompt_ : wake_).notify_one();
}

void WorkerPool::post_turn(Job job) { post_prompt(turns_, std::move(job)); }

void WorkerPool::post_probe(Job job) { post_prompt(probes_, std::move(job)); }

bool WorkerPool::crowded() const {
  std::lock_guard lock(mutex_);
  return 2 * (small_.size() + large_.size()) >= jobs_max_;
}

size_t WorkerPool::queued() const {
  std::lock_guard lock(mutex_);
  return queued_locked();
}

// What a thread does next, if there is something for it.
std::optional<WorkerPool::Job> WorkerPool::next(Takes takes) {
  if (!probes_.empty()) return pop_front(probes_);
  if (!turns_.empty()) return pop_front(turns_);
  if (takes == Takes::kAll && !large_.empty()) return large_.pop();
  if (takes != Takes::kPrompt && !small_.empty()) return small_.pop();
  return std::nullopt;
}

void WorkerPool::work(Takes takes) {
  std::condition_variable& wake = takes == Takes::kPrompt ? wake_prompt_ : wake_;
  const size_t counts = takes == Takes::kPrompt ? 0 : 1;
  std::unique_lock lock(mutex_);
  while (true) {
    std::optional<Job> job;
    resting_ += counts;
    wake.wait(lock, [&] { return (job = next(takes)).has_value() || ending_; });
    resting_ -= counts;
    if (!job) return;
    lock.unlock();
    static_cast<void>(guarded("[worker_pool]", *job));
    job.reset();  // what it captured is released before the next wait, and outside the lock
    lock.lock();
  }
}

}  // namespace pippin
