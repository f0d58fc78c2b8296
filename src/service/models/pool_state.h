// PoolState: what the parts of the model pool share: the models, who waits for them, and the lock
// over all of that. Owner: the ModelPool; leases point to it. Thread: any, under its lock;
// functions that say so take it themselves.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>

#include "service/models/model_loader.h"
#include "service/models/pool_entry.h"

namespace pippin::service {

class PoolState {
 public:
  using Lock = std::unique_lock<std::mutex>;

  PoolState(uint64_t budget, ModelLoader* load_by, ModelSource* found_by, const Clock& time)
      : budget_bytes(budget), loader(load_by), source(found_by), clock(time) {}

  /// Says that something has changed, to the loader's thread and to who waits for leases to end.
  void note_change();
  /// Returns the bytes of the budget that models hold; those that are leaving count if asked for.
  uint64_t used_bytes(bool with_leaving) const;
  /// Returns a lease on a model that is loaded. One that only looks is no use of the model.
  ModelLease lease(PoolEntry& entry, bool uses);
  /// Takes a lease back. Takes the lock.
  void release(PoolEntry& entry, bool uses);
  /// Returns what is wrong once the pool is closed.
  static Error closed_error();

  const uint64_t budget_bytes;
  ModelLoader* const loader;  // null: all models are loaded
  ModelSource* const source;  // of models that were not named; may be null
  const Clock& clock;

  mutable std::mutex mutex;
  std::condition_variable changed;
  uint64_t changes = 0;
  bool open = false, closed = false;
  int leases = 0;
  std::list<PoolEntry> entries;  // in the order they were added; never removed
  std::deque<PoolEntry*> loads;  // to be loaded, in the order they were asked for
};

}  // namespace pippin::service
