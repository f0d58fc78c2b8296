// PoolMemory: who may hold how much of the pool's budget. It makes room for a model: caches of idle
// models shrink before a model goes, and grow back when nobody needs it. Owner: the ModelLoads.
// Thread: the loader's, under the pool's lock, which a resize gives up meanwhile.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "service/models/memory_plan.h"
#include "service/models/pool_state.h"

namespace pippin::service {

class PoolMemory {
 public:
  using Lock = PoolState::Lock;

  explicit PoolMemory(PoolState& pool) : pool_(pool) {}

  /// Returns the bytes that are free now, or once what is leaving has left.
  uint64_t free_bytes(bool now) const;
  /// Returns whether a load waits for the end of requests, other than those of models that overtook
  /// it.
  bool is_held_up() const;
  /// Shrinks the cache of an idle model for one that is to be loaded: first nobody loses more than
  /// what is above an equal share; then all but one context may go. `alone`: the model's plan if it
  /// had the whole budget. Returns whether one was shrunk.
  bool shrink_others(Lock& lock, const PoolEntry& entry, const MemoryPlan& alone);
  /// Chooses what has to go: first what nobody uses, then what is in use, the least recently used
  /// first; the latter takes no more requests from now on, so that its turn ends. Returns false if
  /// what goes already will do. Errors: kOutOfMemory.
  Result<bool> make_room(PoolEntry& entry, const MemoryPlan& alone);
  /// Gives a model whose cache was shrunk room that nobody waits for. Returns whether one grew.
  bool grow_one(Lock& lock);

 private:
  bool shrink_to(Lock& lock, uint64_t bytes_min, uint64_t room_wanted);
  bool resize(Lock& lock, PoolEntry& entry, const MemoryPlan& plan);

  PoolState& pool_;
};

}  // namespace pippin::service
