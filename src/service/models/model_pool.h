// ModelPool: the models that can be served, as many of them loaded as one memory budget holds.
// Loads what is asked for, unloads what was not for longest, and never what is in use. ModelLease:
// the right to use a loaded model. Owner: main owns the pool, the pool its models. Thread: any.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread.h"
#include "service/models/model.h"
#include "service/models/model_loader.h"
#include "service/models/model_status.h"

namespace pippin::service {

class ModelPool;
struct PoolEntry;  // of model_pool.cpp
struct PoolWaiting;

/// Keeps its model loaded while it lives. Movable. Thread: one at a time.
class ModelLease {
 public:
  ModelLease(ModelLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        entry_(other.entry_),
        model_(other.model_),
        uses_(other.uses_) {}
  ModelLease& operator=(ModelLease&&) = delete;
  ~ModelLease();

  const Model& operator*() const { return *model_; }
  const Model* operator->() const { return model_; }

  /// From now on the model stays loaded that long after its last request. Of a pinned one nothing
  /// changes.
  void set_keep_alive(KeepAlive keep_alive) const;
  /// The same, by what the model was set up with.
  void reset_keep_alive() const;

 private:
  friend class ModelPool;
  ModelLease(ModelPool* pool, PoolEntry& entry, const Model* model, bool uses)
      : pool_(pool), entry_(&entry), model_(model), uses_(uses) {}

  ModelPool* pool_;
  PoolEntry* entry_;
  const Model* model_;
  bool uses_;  // else it only looks: it does not count as a request
};

/// Who waits for a model. The functions are called without a lock and must not block.
struct ModelWaiter {
  /// Called once, on the loader's thread, or by wait() itself.
  std::function<void(Result<ModelLease>)> ready;
  /// Called about once a second while it waits, with the part of the model that is loaded: 0 while
  /// others are loaded or used before. May be null.
  std::function<void(double part)> progress = {};
  std::optional<TimePoint> deadline = {};
  bool may_evict = true;  // else it fails with kOutOfMemory where others would have to go
};

class ModelPool {
 public:
  /// Of loaded models alone.
  ModelPool();
  /// Requires: loader, source (may be null) and clock outlive the pool. The thread is begun by
  /// start(); a test calls work() instead.
  ModelPool(uint64_t budget_bytes, ModelLoader& loader, ModelSource* source, const Clock& clock);
  /// Requires: no more lease() and wait() calls. Waits a few seconds for leases to end; a model
  /// still leased then is left to the process's end.
  ~ModelPool();
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  /// Takes a loaded model. The first one is also called "default".
  void add(std::unique_ptr<Model> model);
  /// Takes a model that is loaded when it is asked for. Errors: kInvalidArgument, a name that
  /// another one has.
  Result<void> add(ModelSpec spec);
  void start();
  /// Until then every lease fails with kUnavailable. The first add() of a loaded model opens, too.
  void open();
  /// Ends all waiting, with kUnavailable; nothing more is loaded or unloaded from now on.
  void close();
  /// Closes, and returns once a load under way has ended: then nobody who waited is called any
  /// more.
  void stop();

  /// Leases a model that is loaded. Errors: kNotFound, naming the models there are; kUnavailable.
  Result<ModelLease> lease(std::string_view name);
  /// Returns what can be told at once: a lease or an error; nothing if the model has to be loaded.
  std::optional<Result<ModelLease>> try_lease(std::string_view name);
  /// Loads the model if need be. Returns a ticket for forget(); by then `ready` may have been
  /// called. Errors come by `ready`: as of lease(); of the loader; kOutOfMemory, what can never
  /// fit; kTimeout, at its deadline.
  uint64_t wait(std::string_view name, ModelWaiter waiter);
  /// The one who waits has gone: the waiter is dropped; a call under way may outlast this. Returns
  /// what it held, for the caller to destroy where that is safe.
  std::shared_ptr<void> forget(uint64_t ticket);

  /// Leases all loaded models, in the order they were added, to look at: no request, by which a
  /// model's age counts.
  std::vector<ModelLease> lease_all();
  /// What lies on disk by that name has changed: asks the source anew. A newer version is served
  /// from then on, a model that is gone no more; running answers end with the one they began with.
  void refresh(std::string_view name);
  /// Returns whether a name means a model here; asks the source.
  bool knows(std::string_view name);
  /// Returns all models. Cost: tens of milliseconds for each one that is seen the first time.
  std::vector<ModelStatus> list();
  /// Returns those that were named or are loaded, as far as they have been seen: no file is read.
  std::vector<ModelStatus> states() const;
  /// Errors: kNotFound.
  Result<ModelStatus> look(std::string_view name);
  /// Unloads a model once the requests end that use it; later ones load it anew. Returns its state
  /// then. Errors: kNotFound; kUnavailable while it is being loaded.
  Result<ModelState> unload(std::string_view name);

  uint64_t budget_bytes() const { return budget_bytes_; }
  uint64_t used_bytes() const;

  /// Does the next thing that is to be done, if any. Returns when to call again, if nothing changes
  /// before. Thread: the loader's.
  TimePoint work();

 private:
  friend class ModelLease;
  using Lock = std::unique_lock<std::mutex>;

  void run();
  void release(PoolEntry& entry, bool uses);
  void changed_locked();

  PoolEntry* find_locked(std::string_view name);
  PoolEntry* find(Lock& lock, std::string_view name);
  PoolEntry* find_to_load(Lock& lock, std::string_view name);
  PoolEntry* add_found_locked(ModelSpec spec);
  void retire_locked(PoolEntry& entry);
  void retire_failed_locked(PoolEntry& entry);
  Error not_found_locked(std::string_view name) const;
  ModelLease lease_locked(PoolEntry& entry, bool uses);
  ModelStatus status_of(Lock& lock, PoolEntry& entry);
  uint64_t used_locked(bool with_leaving) const;
  uint64_t room_locked(bool now) const;  // else once what is leaving has left
  bool is_held_up_locked() const;

  bool unload_one(Lock& lock);
  void expire_locked(TimePoint now);
  bool load_one(Lock& lock);
  bool load_if_it_fits(Lock& lock, PoolEntry& entry, bool first);
  bool shrink_others(Lock& lock, const PoolEntry& entry, const MemoryPlan& alone);
  bool shrink_to(Lock& lock, uint64_t bytes_min, uint64_t room_wanted);
  bool resize(Lock& lock, PoolEntry& entry, const MemoryPlan& plan);
  bool grow_one(Lock& lock);
  Result<bool> make_room_locked(PoolEntry& entry, const MemoryPlan& alone);
  void load_into(Lock& lock, PoolEntry& entry, uint64_t room, const MemoryPlan& plan);
  void grant(Lock& lock, PoolEntry& entry);
  void fail_load(Lock& lock, PoolEntry& entry, const Error& error);
  void tick(Lock& lock);
  TimePoint next_time_locked() const;

  const uint64_t budget_bytes_;
  ModelLoader* const loader_;
  ModelSource* const source_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t changes_ = 0;
  bool open_ = false, closed_ = false;
  int leases_ = 0;
  uint64_t next_ticket_ = 1;
  std::list<PoolEntry> entries_;  // in the order they were added; never removed
  std::deque<PoolEntry*> loads_;  // to be loaded, in the order they were asked for
  Thread thread_;
};

}  // namespace pippin::service
