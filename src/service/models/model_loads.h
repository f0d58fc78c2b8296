// ModelLoads: what the loader's thread does: unload, load, tell those who wait. Owner: the
// ModelPool. Thread: the loader's, or a test's, under the pool's lock, which is given up while a
// model is loaded or unloaded and while those who wait are called.
#pragma once

#include "base/clock.h"
#include "service/models/pool_memory.h"
#include "service/models/pool_state.h"

namespace pippin::service {

class ModelLoads {
 public:
  explicit ModelLoads(PoolState& pool) : pool_(pool), memory_(pool) {}

  /// Does the next thing that is to be done, if any. Returns when to call again, if nothing changes
  /// before.
  TimePoint work();
  /// Works until the pool is closed.
  void run();

 private:
  using Lock = PoolState::Lock;

  bool unload_one(Lock& lock);
  void expire(TimePoint now);
  bool load_one(Lock& lock);
  bool load_if_it_fits(Lock& lock, PoolEntry& entry, bool first);
  void load_into(Lock& lock, PoolEntry& entry, uint64_t room, const MemoryPlan& plan);
  void grant(Lock& lock, PoolEntry& entry);
  void fail_load(Lock& lock, PoolEntry& entry, const Error& error);
  void tick(Lock& lock);
  TimePoint next_time() const;

  PoolState& pool_;
  PoolMemory memory_;
};

}  // namespace pippin::service
