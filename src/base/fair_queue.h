// FairQueue: waiting jobs, served round-robin over their owners: however many jobs an owner queues,
// it delays another's next job by one. Owner: a WorkerPool. Thread: its lock's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/check.h"

namespace pippin {

class FairQueue {
 public:
  using Job = std::function<void()>;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t size_of(const std::string& owner) const {
    const auto found = jobs_.find(owner);
    return found == jobs_.end() ? 0 : found->second.size();
  }

  void push(const std::string& owner, uint64_t id, Job job) {
    auto& jobs = jobs_[owner];
    if (jobs.empty()) order_.push_back(owner);
    jobs.push_back({id, std::move(job)});
    ++size_;
  }

  /// Takes the oldest job of the owner whose turn it is. Requires: not empty.
  Job pop() {
    CHECK(!order_.empty());
    std::string owner = std::move(order_.front());
    order_.pop_front();
    const auto found = jobs_.find(owner);
    Job job = std::move(found->second.front().job);
    found->second.pop_front();
    --size_;
    if (found->second.empty()) {
      jobs_.erase(found);
    } else {
      order_.push_back(std::move(owner));
    }
    return job;
  }

  /// Takes out a job that still waits; empty if it does not.
  Job remove(const std::string& owner, uint64_t id) {
    const auto found = jobs_.find(owner);
    if (found == jobs_.end()) return {};
    auto& jobs = found->second;
    const auto at = std::find_if(jobs.begin(), jobs.end(),
                                 [&](const Waiting& waiting) { return waiting.id == id; });
    if (at == jobs.end()) return {};
    Job job = std::move(at->job);
    jobs.erase(at);
    --size_;
    if (jobs.empty()) {
      jobs_.erase(found);
      order_.erase(std::find(order_.begin(), order_.end(), owner));
    }
    return job;
  }

 private:
  struct Waiting {
    uint64_t id;
    Job job;
  };
  std::map<std::string, std::deque<Waiting>> jobs_;  // of owners that have some
  std::deque<std::string> order_;                    // the same owners, whose turn is next first
  size_t size_ = 0;
};

}  // namespace pippin
