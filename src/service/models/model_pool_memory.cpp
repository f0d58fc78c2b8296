// ModelPool: how memory is freed for a model: caches of idle models shrink before a model goes, and
// grow back when nobody needs it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/guarded.h"
#include "base/log.h"
#include "service/models/memory_plan.h"
#include "service/models/model_pool.h"
#include "service/models/pool_entry.h"

namespace pippin::service {
namespace {

// A cache grows back by this share of what it lost at least: not for every few blocks.
constexpr uint64_t kGrowthShare = 8;

bool may_resize(const PoolEntry& entry) {
  return entry.state == ModelState::kLoaded && entry.model != nullptr && !entry.fixed;
}

}  // namespace

// Gives a loaded model's cache another size. Returns false where that cannot be done.
bool ModelPool::resize(Lock& lock, PoolEntry& entry, const MemoryPlan& plan) {
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
  changed_locked();
  return resized;
}

// Shrinks caches of models that nobody uses, the least recently used first, none below `bytes_min`.
// Returns whether one was shrunk.
bool ModelPool::shrink_to(Lock& lock, uint64_t bytes_min, uint64_t room_wanted) {
  std::vector<PoolEntry*> idle;
  for (PoolEntry& other : entries_)
    if (may_resize(other) && other.uses == 0) idle.push_back(&other);
  std::ranges::sort(idle, {}, &PoolEntry::used_at);
  for (PoolEntry* const other : idle) {
    const uint64_t room = room_locked(false);
    if (room >= room_wanted) return false;
    const uint64_t lacking = std::min(room_wanted - room, other->bytes);
    const auto plan = other->smaller(std::max(bytes_min, other->bytes - lacking));
    if (!plan) continue;
    if (resize(lock, *other, *plan)) return true;
  }
  return false;
}

// First nobody loses more than what is above an equal share; then all but one context may go.
bool ModelPool::shrink_others(Lock& lock, const PoolEntry& entry, const MemoryPlan& alone) {
  const Result<MemoryPlan> least = least_plan(*entry.sizing, alone.context_tokens_max);
  if (!least.ok()) return false;
  const auto holds = [](const PoolEntry& one) { return one.bytes > 0; };
  const auto models = 1 + static_cast<uint64_t>(std::ranges::count_if(entries_, holds));
  const uint64_t share = budget_bytes_ / models;
  const uint64_t most = std::max(alone.bytes_total(), least->bytes_total());
  return shrink_to(lock, share, std::clamp(share, least->bytes_total(), most)) ||
         shrink_to(lock, 0, least->bytes_total());
}

// Gives a model whose cache was shrunk room that nobody waits for. Returns whether one grew.
bool ModelPool::grow_one(Lock& lock) {
  if (!loads_.empty()) return false;
  for (PoolEntry& entry : entries_) {
    if (!may_resize(entry)) continue;
    const uint64_t full = entry.model->plan.bytes_total();
    const uint64_t lost = full - std::min(full, entry.bytes);
    const uint64_t room = std::min(room_locked(true), lost);
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

// Chooses what has to go: first what nobody uses, then what is in use, the least recently used
// first; the latter takes no more requests from now on, so that its turn ends. Returns false if
// what goes already will do. `alone`: the model's plan if it had the whole budget. Errors:
// kOutOfMemory.
Result<bool> ModelPool::make_room_locked(PoolEntry& entry, const MemoryPlan& alone) {
  uint64_t room = room_locked(false);
  const auto fits = [&] { return fit(*entry.sizing, room, alone.context_tokens_max).has_value(); };
  if (fits()) return false;
  std::vector<PoolEntry*> others;
  const bool held_up = is_held_up_locked();
  for (PoolEntry& other : entries_) {
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
                    bytes_text(alone.bytes_total()), bytes_text(budget_bytes_),
                    bytes_text(room_locked(true)), fits() ? "" : " or can become so"),
        "model");
  }
  others.resize(going);
  for (PoolEntry* other : others) {
    log::info("[models] {} makes room for {}", other->spec.load.id, entry.spec.load.id);
    other->state = ModelState::kUnloading;
  }
  changed_locked();
  return true;
}

}  // namespace pippin::service
