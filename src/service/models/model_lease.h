// ModelLease: the right to use a loaded model. ModelWaiter: who waits for one. Owner: a request.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "service/models/model.h"
#include "service/models/model_loader.h"

namespace pippin::service {

class PoolState;
struct PoolEntry;

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
  friend class PoolState;
  ModelLease(PoolState& pool, PoolEntry& entry, bool uses);

  PoolState* pool_;
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

}  // namespace pippin::service
