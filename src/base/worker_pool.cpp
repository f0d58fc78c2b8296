#include "base/worker_pool.h"

#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace pippin {
namespace {

// The pool lives through a job's exception (memory that ran out, say): one lost job is an error
// answer, a lost process is an outage.
void run_job(const std::function<void()>& job) {
  try {
    job();
  } catch (const std::exception& e) {
    log::error("[worker_pool] a job failed: {}", e.what());
  } catch (...) {
    log::error("[worker_pool] a job failed with an unknown exception");
  }
}

}  // namespace

WorkerPool::WorkerPool(int threads, size_t jobs_max) : jobs_max_(jobs_max) {
  CHECK(threads >= 1);
  CHECK(jobs_max >= 1);
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkerPool::post(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (ending_ || jobs_.size() >= jobs_max_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

size_t WorkerPool::queued() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    run_job(job);
    job = nullptr;  // what it captured is released before the next wait, and outside the lock
    lock.lock();
  }
}

}  // namespace pippin
