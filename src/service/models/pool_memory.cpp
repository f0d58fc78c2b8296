#include "service/models/pool_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/guarded.h"
#include "base/log.h"

namespace pippin::service {
namespace {

// A cache grows back by this share of what it lost at least: not for every few blocks.
constexpr uint64_t kGrowthShare = 8;

bool may_resize(const PoolEntry& entry) {
  return entry.state == ModelState::kLoaded && entry.model != nullptr && !entry.fixed;
}

}  // namespace

uint64_t PoolMemory::free_bytes(bool now) const {
  return pool_.budget_bytes - std::min(pool_.budget_bytes, pool_.used_bytes(now));
}

bool PoolMemory::is_held_up() const {
  return std::ranges::any_of(pool_.entries, [](const PoolEntry& one) {
    return one.state == ModelState::kUnloading && one.uses > 0 && !one.overtook;
  });
}

// Gives a loaded model's cache another size. Returns false where that cannot be done.
bool PoolMemory::resize(Lock& lock, PoolEntry& entry, const MemoryPlan& plan) {
  std::vector<int> blocks;
  for (const KvGroupPlan& group : plan.kv.groups) blocks.push_back(group.blocks);
  const uint64_t before = entry.bytes;
  // What is being given up counts until it is: nobody else may take it before.
  entry.bytes = std::max(before, plan.bytes_total());
  ++entry.looks;  // so that it is not unloaded meanwhile
  engine::Engine& engine = *entry.model->engine;
  lock.unlock();
  bool resized = false;
  static_cast<void>(guarded("[models]", [&] { resized = engine.resize_kv(blocks); }));
  lock.lock();
  --entry.looks;
  entry.bytes = resized ? plan.bytes_total() : before;
  if (resized) {
    log::info("[models] {}: its cache now holds {} tokens, {} in all", entry.spec.load.id,
              plan.positions(), bytes_text(entry.bytes));
  }
  pool_.note_change();
  return resized;
}

// Shrinks caches of models that nobody uses, the least recently used first, none below `bytes_min`.
// Returns whether one was shrunk.
bool PoolMemory::shrink_to(Lock& lock, uint64_t bytes_min, uint64_t room_wanted) {
  std::vector<PoolEntry*> idle;
  for (PoolEntry& other : pool_.entries)
    if (may_resize(other) && other.uses == 0) idle.push_back(&other);
  std::ranges::sort(idle, {}, &PoolEntry::used_at);
  for (PoolEntry* const other : idle) {
    const uint64_t room = free_bytes(false);
    if (room >= room_wanted) return false;
    const uint64_t lacking = std::min(room_wanted - room, other->bytes);
    const auto plan = other->smaller(std::max(bytes_min, other->bytes - lacking));
    if (!plan) continue;
    if (resize(lock, *other, *plan)) return true;
  }
  return false;
}

bool PoolMemory::shrink_others(Lock& lock, const PoolEntry& entry, const MemoryPlan& alone) {
  const Result<MemoryPlan> least = least_plan(*entry.sizing, alone.context_tokens_max);
  if (!least.ok()) return false;
  const auto holds = [](const PoolEntry& one) { return one.bytes > 0; };
  const auto models = 1 + static_cast<uint64_t>(std::ranges::count_if(pool_.entries, holds));
  const uint64_t share = pool_.budget_bytes / models;
  const uint64_t most = std::max(alone.bytes_total(), least->bytes_total());
  return shrink_to(lock, share, std::clamp(share, least->bytes_total(), most)) ||
         shrink_to(lock, 0, least->bytes_total());
}

bool PoolMemory::grow_one(Lock& lock) {
  if (!pool_.loads.empty()) return false;
  for (PoolEntry& entry : pool_.entries) {
    if (!may_resize(entry)) continue;
    const uint64_t full = entry.model->plan.bytes_total();
    const uint64_t lost = full - std::min(full, entry.bytes);
    const uint64_t room = std::min(free_bytes(true), lost);
    if (room == 0 || room < lost / kGrowthShare) continue;
    const auto plan = fit(entry.sized, entry.bytes + room, entry.model->plan.context_tokens_max);
    if (!plan || plan->bytes_total() <= entry.bytes ||
        plan->kv.groups.size() != entry.model->plan.kv.groups.size())
      continue;
    if (resize(lock, entry, *plan)) return true;
    entry.fixed = true;
  }
  return false;
}

Result<bool> PoolMemory::make_room(PoolEntry& entry, const MemoryPlan& alone) {
  uint64_t room = free_bytes(false);
  const auto fits = [&] { return fit(*entry.sizing, room, alone.context_tokens_max).has_value(); };
  if (fits()) return false;
  std::vector<PoolEntry*> others;
  const bool held_up = is_held_up();
  for (PoolEntry& other : pool_.entries) {
    if (other.state != ModelState::kLoaded || other.spec.pinned) continue;
    if (held_up && other.overtook) {
      room += other.bytes;  // it may stay until the others have gone
    } else {
      others.push_back(&other);
    }
  }
  if (fits()) return false;
  std::ranges::sort(others, {}, [](const PoolEntry* other) {
    return std::pair(other->uses > 0, other->used_at);
  });
  size_t going = 0;
  while (going < others.size() && !fits()) room += others[going++]->bytes;
  if (!fits() || !entry.may_evict()) {
    return fail(
        Code::kOutOfMemory,
        fmt::format("[models] {} does not fit beside {}: it takes {} of the {} for all "
                    "models, and {} are free{}",
                    entry.spec.load.id, fits() ? "those that are loaded" : "those that are pinned",
                    bytes_text(alone.bytes_total()), bytes_text(pool_.budget_bytes),
                    bytes_text(free_bytes(true)), fits() ? "" : " or can become so"),
        "model");
  }
  others.resize(going);
  for (PoolEntry* other : others) {
    log::info("[models] {} makes room for {}", other->spec.load.id, entry.spec.load.id);
    other->state = ModelState::kUnloading;
  }
  pool_.note_change();
  return true;
}

}  // namespace pippin::service
