#include "service/models/model_loads.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/guarded.h"
#include "base/log.h"
#include "service/process.h"

namespace pippin::service {
namespace {

constexpr Duration kTellEvery = std::chrono::seconds(1);
constexpr Duration kSleepMax = std::chrono::hours(1);
constexpr Duration kAgainAfter = std::chrono::seconds(1);

}  // namespace

TimePoint ModelLoads::work() {
  Lock lock(pool_.mutex);
  if (pool_.closed) return TimePoint::max();
  tick(lock);
  expire(pool_.clock.now());
  if (unload_one(lock) || load_one(lock) || memory_.grow_one(lock)) return TimePoint();
  return next_time();
}

void ModelLoads::run() {
  for (;;) {
    uint64_t seen = 0;
    {
      const std::lock_guard lock(pool_.mutex);
      if (pool_.closed) return;
      seen = pool_.changes;
    }
    TimePoint next = pool_.clock.now() + kSleepMax;
    // What was thrown is tried again: those who wait must not do so until something changes.
    if (!guarded("[pool]", [&] { next = std::min(next, work()); }).ok())
      next = pool_.clock.now() + kAgainAfter;
    Lock lock(pool_.mutex);
    pool_.changed.wait_until(lock, next, [&] { return pool_.closed || pool_.changes != seen; });
  }
}

// --- Unloading ---

void ModelLoads::expire(TimePoint now) {
  for (PoolEntry& entry : pool_.entries) {
    if (entry.state != ModelState::kLoaded || entry.spec.pinned || !entry.keep_alive) continue;
    if (entry.uses > 0 || now < entry.used_at + *entry.keep_alive) continue;
    entry.state = ModelState::kUnloading;
  }
}

// Returns whether there was one that nobody uses any more.
bool ModelLoads::unload_one(Lock& lock) {
  const auto entry = std::ranges::find_if(pool_.entries, [](const PoolEntry& one) {
    return one.state == ModelState::kUnloading && one.model != nullptr && one.uses == 0 &&
           one.looks == 0;
  });
  if (entry == pool_.entries.end()) return false;
  std::unique_ptr<Model> model = std::move(entry->model);
  lock.unlock();
  log::info("[models] unloading {}", model->id);
  static_cast<void>(guarded("[models]", [&] {
    model.reset();  // joins its device thread
    give_back_memory();
  }));
  lock.lock();
  entry->state = ModelState::kUnloaded;
  entry->bytes = 0;
  pool_.note_change();
  return true;
}

// --- Loading ---

// Takes a load a step further. They are done in the order of asking. But while the first one waits
// for requests to end, which may be long, others that need less go ahead. These make room in their
// turn: once the requests have ended nobody goes ahead any more, so that none waits for ever.
// Returns whether anything was done.
bool ModelLoads::load_one(Lock& lock) {
  if (pool_.loads.empty()) return false;
  if (load_if_it_fits(lock, *pool_.loads.front(), true)) return true;
  if (!memory_.is_held_up()) return false;
  for (size_t i = 1; i < pool_.loads.size(); ++i)
    if (load_if_it_fits(lock, *pool_.loads[i], false)) return true;
  return false;
}

// Returns whether anything was done: then pool_.loads may be another. The first one in the order
// has room made for it.
bool ModelLoads::load_if_it_fits(Lock& lock, PoolEntry& entry, bool first) {
  if (entry.waiting.empty()) {  // all who asked for it have left
    entry.sizing.reset();
    std::erase(pool_.loads, &entry);
    return true;
  }
  if (entry.state == ModelState::kUnloading) return false;  // until its requests end
  if (!first && entry.spec.pinned) return false;            // it would never make room
  if (!entry.sizing) {
    const ModelSpec spec = entry.spec;
    lock.unlock();
    Result<MemorySizing> sizing = guarded("[models]", [&] { return pool_.loader->size(spec); });
    lock.lock();
    if (!sizing.ok()) {
      fail_load(lock, entry, sizing.error());
      return true;
    }
    entry.sizing = *std::move(sizing);
    return true;
  }
  const Result<MemoryPlan> alone = plan_within(*entry.sizing, pool_.budget_bytes);
  if (!alone.ok()) {
    fail_load(lock, entry, alone.error());
    return true;
  }
  const uint64_t room = memory_.free_bytes(true);
  if (const auto plan = fit(*entry.sizing, room, alone->context_tokens_max)) {
    entry.overtook = !first;
    load_into(lock, entry, room, *plan);
    return true;
  }
  if (!first) return false;
  if (memory_.shrink_others(lock, entry, *alone)) return true;
  const Result<bool> made = memory_.make_room(entry, *alone);
  if (!made.ok()) fail_load(lock, entry, made.error());
  return !made.ok() || *made;
}

void ModelLoads::load_into(Lock& lock, PoolEntry& entry, uint64_t room, const MemoryPlan& plan) {
  std::erase(pool_.loads, &entry);
  entry.sized = *std::exchange(entry.sizing, std::nullopt);
  entry.state = ModelState::kLoading;
  entry.bytes = plan.bytes_total();
  entry.part = 0;
  const ModelSpec spec = entry.spec;
  lock.unlock();
  const auto note_progress = [this, &entry](uint64_t done, uint64_t total) {
    Lock progress(pool_.mutex);
    entry.part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
    tick(progress);
  };
  Result<std::unique_ptr<Model>> model =
      guarded("[models]", [&] { return pool_.loader->load(spec, room, note_progress); });
  lock.lock();
  if (std::exchange(entry.stale, false)) {  // it is another version than what is asked for now
    entry.state = ModelState::kUnloaded;
    entry.bytes = 0;
    if (!entry.waiting.empty()) pool_.loads.push_back(&entry);
    return pool_.note_change();
  }
  if (!model.ok()) return fail_load(lock, entry, model.error());
  entry.take(*std::move(model), pool_.clock.now());
  grant(lock, entry);
}

// Gives a lease to all who wait, before anything else could make the model go.
void ModelLoads::grant(Lock& lock, PoolEntry& entry) {
  PoolCalls calls;
  for (std::shared_ptr<PoolWaiting>& waiting : entry.waiting)
    calls.add(std::move(waiting), pool_.lease(entry, true));
  entry.waiting.clear();
  pool_.note_change();
  calls.run(lock);
}

void ModelLoads::fail_load(Lock& lock, PoolEntry& entry, const Error& error) {
  // Before the pool is open who waits is the program itself, which tells it.
  if (pool_.open) log::warn("[models] {}: {}", entry.spec.load.id, error.message);
  // What is wrong with a file is no fault of the request's.
  Error told = error;
  if (error.code != Code::kOutOfMemory) told.code = Code::kInvalidFile;
  told.param = "model";
  std::erase(pool_.loads, &entry);
  entry.sizing.reset();
  entry.state = ModelState::kFailed;
  entry.bytes = 0;
  entry.error = error.message;
  PoolCalls calls;
  calls.add_all(entry.waiting, told);
  pool_.note_change();
  calls.run(lock);
}

// --- Those who wait ---

// Tells them of the progress, and those whose time is over that it is.
void ModelLoads::tick(Lock& lock) {
  const TimePoint now = pool_.clock.now();
  PoolCalls over;
  std::vector<std::pair<std::shared_ptr<PoolWaiting>, double>> due;
  for (PoolEntry& entry : pool_.entries) {
    entry.waiting.remove_if([&](std::shared_ptr<PoolWaiting>& waiting) {
      if (!waiting->waiter.deadline || now < *waiting->waiter.deadline) return false;
      over.add(std::move(waiting),
               fail(Code::kTimeout, fmt::format("the request's time was over before {} was loaded",
                                                entry.spec.load.id)));
      return true;
    });
    for (const std::shared_ptr<PoolWaiting>& waiting : entry.waiting) {
      if (now < waiting->told + kTellEvery) continue;
      waiting->told = now;
      if (waiting->waiter.progress)
        due.emplace_back(waiting, entry.state == ModelState::kLoading ? entry.part : 0);
    }
  }
  if (over.empty() && due.empty()) return;
  lock.unlock();
  over.run();
  for (const auto& [waiting, part] : due)
    static_cast<void>(guarded("[models]", [&] { waiting->waiter.progress(part); }));
  due.clear();
  lock.lock();
}

TimePoint ModelLoads::next_time() const {
  TimePoint next = TimePoint::max();
  for (const PoolEntry& entry : pool_.entries) {
    for (const std::shared_ptr<PoolWaiting>& waiting : entry.waiting) {
      next = std::min(next, waiting->told + kTellEvery);
      if (waiting->waiter.deadline) next = std::min(next, *waiting->waiter.deadline);
    }
    const bool ages = entry.state == ModelState::kLoaded && !entry.spec.pinned && entry.uses == 0;
    if (ages && entry.keep_alive) next = std::min(next, entry.used_at + *entry.keep_alive);
  }
  return next;
}

}  // namespace pippin::service
