// The model pool's own: an entry for each model, those who wait for it, and the calls to them that
// are made once the pool's lock is given up. Thread: under the pool's lock, but for
// PoolCalls::run().
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "service/models/memory_plan.h"
#include "service/models/model_lease.h"
#include "service/models/model_status.h"

namespace pippin::service {

/// Above this a time to keep a model has no end: adding it to a time must not overflow.
inline constexpr Duration kForever = std::chrono::hours(24 * 365 * 100);

struct PoolWaiting {
  ModelWaiter waiter;
  uint64_t ticket = 0;
  TimePoint told{};  // when it last heard of the progress, or came
};

/// Answers that are given later.
class PoolCalls {
 public:
  void add(std::shared_ptr<PoolWaiting> waiting, Result<ModelLease> result) {
    calls_.emplace_back(std::move(waiting), std::move(result));
  }
  void add_all(std::list<std::shared_ptr<PoolWaiting>>& waiting, const Error& error) {
    for (std::shared_ptr<PoolWaiting>& one : waiting) add(std::move(one), error);
    waiting.clear();
  }
  bool empty() const { return calls_.empty(); }
  /// Calls all, whatever one of them throws.
  /// Requires: no lock is held, as what is answered may give its lease back at once.
  void run() {
    for (auto& [waiting, result] : calls_)
      static_cast<void>(guarded("[models]", [&] { waiting->waiter.ready(std::move(result)); }));
    calls_.clear();
  }
  /// The same, giving up the lock meanwhile.
  void run(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    run();
    lock.lock();
  }

 private:
  std::vector<std::pair<std::shared_ptr<PoolWaiting>, Result<ModelLease>>> calls_;
};

/// Plans a model's memory within so many bytes.
Result<MemoryPlan> plan_within(const MemorySizing& sizing, uint64_t bytes_max);
/// Plans the same with a cache for one whole request and no more, that request of `context_tokens`.
Result<MemoryPlan> least_plan(const MemorySizing& sizing, int context_tokens);
/// Plans it in what is left. It fits only with the context that it would have alone: the memory of
/// others shortens what is remembered of earlier requests, but never what a request may hold.
std::optional<MemoryPlan> fit(const MemorySizing& sizing, uint64_t room, int context_tokens);

struct PoolEntry {
  PoolEntry() = default;
  PoolEntry(ModelSpec of, int64_t created)
      : spec(std::move(of)), created_unix_s(created), keep_alive(spec.keep_alive) {}

  ModelSpec spec;
  int64_t created_unix_s = 0;
  bool found = false;  // by the source; else it was named
  bool gone = false;   // found, but not there any more: nobody can ask for it
  ModelState state = ModelState::kUnloaded;
  std::unique_ptr<Model> model;           // while it is loaded, or yet to be unloaded
  std::shared_ptr<const ModelInfo> info;  // null: not looked at yet
  uint64_t bytes = 0;                     // of the budget
  int uses = 0, looks = 0;                // leases
  TimePoint used_at{};
  KeepAlive keep_alive;  // in force now
  std::list<std::shared_ptr<PoolWaiting>> waiting;
  std::optional<MemorySizing> sizing;  // while it is to be loaded
  MemorySizing sized;                  // of what is loaded
  bool fixed = false;                  // its cache cannot be made smaller or larger
  bool overtook = false;               // when it was loaded, another one waited for more room
  bool stale = false;                  // while it is loaded, its file became another one
  double part = 0;                     // that is loaded
  uint64_t loads = 0;
  std::string error;  // of the last load

  /// Takes a model that was loaded.
  void take(std::unique_ptr<Model> loaded, TimePoint now);
  bool may_evict() const;
  /// Returns the plan of the loaded model with a smaller cache: as few bytes as `bytes`, if one
  /// request still has its whole context. Nothing where that makes it no smaller.
  std::optional<MemoryPlan> smaller(uint64_t bytes_min) const;
  ModelStatus status(TimePoint now, std::string unreadable) const;
};

}  // namespace pippin::service
