#include "service/models/pool_state.h"

namespace pippin::service {

void PoolState::note_change() {
  ++changes;
  changed.notify_all();  // under the lock: the pool may go as soon as it is given up
}

uint64_t PoolState::used_bytes(bool with_leaving) const {
  uint64_t bytes = 0;
  for (const PoolEntry& entry : entries)
    if (with_leaving || entry.state != ModelState::kUnloading) bytes += entry.bytes;
  return bytes;
}

ModelLease PoolState::lease(PoolEntry& entry, bool uses) {
  ++leases;
  ++(uses ? entry.uses : entry.looks);
  if (uses) entry.used_at = clock.now();
  return {*this, entry, uses};
}

void PoolState::release(PoolEntry& entry, bool uses) {
  const std::lock_guard lock(mutex);
  --leases;
  --(uses ? entry.uses : entry.looks);
  if (uses) entry.used_at = clock.now();
  note_change();
}

Error PoolState::closed_error() {
  return fail(Code::kUnavailable, "the server is shutting down: no model is loaded any more",
              "model");
}

ModelLease::ModelLease(PoolState& pool, PoolEntry& entry, bool uses)
    : pool_(&pool), entry_(&entry), model_(entry.model.get()), uses_(uses) {}

ModelLease::~ModelLease() {
  if (pool_ != nullptr) pool_->release(*entry_, uses_);
}

void ModelLease::set_keep_alive(KeepAlive keep_alive) const {
  const std::lock_guard lock(pool_->mutex);
  entry_->keep_alive = keep_alive && *keep_alive > kForever ? KeepAlive() : keep_alive;
  pool_->note_change();
}

void ModelLease::reset_keep_alive() const {
  const std::lock_guard lock(pool_->mutex);
  entry_->keep_alive = entry_->spec.keep_alive;
}

}  // namespace pippin::service
