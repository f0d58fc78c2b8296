#include "service/models/model_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/unix_time.h"
#include "service/models/pool_entry.h"

namespace pippin::service {
namespace {

const SystemClock kSystemClock;
constexpr size_t kNamesTold = 8;  // of the models there are, where one is not found
constexpr Duration kSleepMax = std::chrono::hours(1);
constexpr Duration kAgainAfter = std::chrono::seconds(1);

Error closed_error() {
  return fail(Code::kUnavailable, "the server is shutting down: no model is loaded any more",
              "model");
}

}  // namespace

const char* word_of(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded:
      return "unloaded";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kUnloading:
      return "unloading";
    case ModelState::kFailed:
      return "failed";
  }
  return "unloaded";
}

ModelLease::~ModelLease() {
  if (pool_ != nullptr) pool_->release(*entry_, uses_);
}

void ModelLease::set_keep_alive(KeepAlive keep_alive) const {
  const std::lock_guard lock(pool_->mutex_);
  entry_->keep_alive = keep_alive && *keep_alive > kForever ? KeepAlive() : keep_alive;
  pool_->changed_locked();
}

void ModelLease::reset_keep_alive() const {
  const std::lock_guard lock(pool_->mutex_);
  entry_->keep_alive = entry_->spec.keep_alive;
}

ModelPool::ModelPool()
    : budget_bytes_(0), loader_(nullptr), source_(nullptr), clock_(kSystemClock) {}

ModelPool::ModelPool(uint64_t budget_bytes, ModelLoader& loader, ModelSource* source,
                     const Clock& clock)
    : budget_bytes_(budget_bytes), loader_(&loader), source_(source), clock_(clock) {}

ModelPool::~ModelPool() {
  stop();
  Lock lock(mutex_);
  if (changed_.wait_for(lock, std::chrono::seconds(5), [this] { return leases_ == 0; })) return;
  // Freeing a model under a request would be worse than not freeing it: the process is about to
  // end.
  log::warn("[models] {} requests still hold a model at exit", leases_);
  for (PoolEntry& entry : entries_) static_cast<void>(entry.model.release());
}

// --- What is told from outside ---

void ModelPool::add(std::unique_ptr<Model> model) {
  CHECK(model != nullptr && model->engine != nullptr && model->tokenizer != nullptr,
        "a model that is not loaded");
  const std::lock_guard lock(mutex_);
  PoolEntry& entry = entries_.emplace_back();
  entry.spec.load.id = model->id;
  entry.spec.load.aliases = model->aliases;
  entry.spec.pinned = true;  // nobody could load it again
  entry.created_unix_s = model->created_unix_s;
  entry.take(std::move(model), clock_.now());
  open_ = true;
}

Result<void> ModelPool::add(ModelSpec spec) {
  CHECK(loader_ != nullptr, "a pool without a loader");
  if (spec.load.id.empty()) spec.load.id = model_id_of(spec.load.path);
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names = spec.load.aliases;
  names.push_back(spec.load.id);
  for (const std::string& name : names) {
    if (find_locked(name) == nullptr) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("two models are called {}: give one of them another name", name),
                "model");
  }
  entries_.emplace_back(std::move(spec), unix_now_s());
  return {};
}

// A model of the source: of names that are taken the others are left.
PoolEntry* ModelPool::add_found_locked(ModelSpec spec) {
  if (spec.load.id.empty()) spec.load.id = model_id_of(spec.load.path);
  if (PoolEntry* known = find_locked(spec.load.id)) {
    if (known->found && known->spec.load.path != spec.load.path) {
      retire_locked(*known);
      known->spec.load.path = std::move(spec.load.path);
    }
    return known;
  }
  for (PoolEntry& entry : entries_) {
    if (!entry.gone || entry.spec.load.id != spec.load.id) continue;
    entry.spec = std::move(spec);
    entry.gone = false;
    return &entry;
  }
  std::erase_if(spec.load.aliases,
                [this](const std::string& name) { return find_locked(name) != nullptr; });
  PoolEntry& entry = entries_.emplace_back(std::move(spec), unix_now_s());
  entry.found = true;
  return &entry;
}

// What was known of a model's file is true no more.
void ModelPool::retire_locked(PoolEntry& entry) {
  entry.info.reset();
  entry.sizing.reset();
  entry.error.clear();
  if (entry.state == ModelState::kLoaded) entry.state = ModelState::kUnloading;
  if (entry.state == ModelState::kFailed) entry.state = ModelState::kUnloaded;
  entry.stale = entry.state == ModelState::kLoading;
  changed_locked();
}

// A model whose device thread has ended is loaded anew for those who ask next, if it can be.
void ModelPool::retire_failed_locked(PoolEntry& entry) {
  if (entry.state != ModelState::kLoaded || loader_ == nullptr) return;
  if (entry.model->engine == nullptr || !entry.model->engine->has_failed()) return;
  log::warn("[models] {} has failed, and is loaded anew", entry.spec.load.id);
  entry.state = ModelState::kUnloading;
  changed_locked();
}

void ModelPool::refresh(std::string_view name) {
  if (source_ == nullptr) return;
  Result<ModelSpec> found = source_->find(name);
  Lock lock(mutex_);
  PoolEntry* const known = find_locked(name);
  if (found.ok()) {
    add_found_locked(std::move(*found));
  } else if (known != nullptr && known->found) {
    known->gone = true;
    retire_locked(*known);
    PoolCalls calls;
    calls.add_all(known->waiting, not_found_locked(name));
    lock.unlock();
    calls.run();
  }
}

void ModelPool::start() {
  thread_ = Thread("[pool]", [this] { run(); });
}

void ModelPool::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
}

void ModelPool::close() {
  Lock lock(mutex_);
  closed_ = true;
  loads_.clear();
  PoolCalls calls;
  for (PoolEntry& entry : entries_) calls.add_all(entry.waiting, closed_error());
  changed_locked();
  lock.unlock();
  calls.run();
}

void ModelPool::stop() {
  close();
  thread_.join();
}

void ModelPool::changed_locked() {
  ++changes_;
  changed_.notify_all();  // under the lock: the pool may go as soon as it is given up
}

// --- Names ---

PoolEntry* ModelPool::find_locked(std::string_view name) {
  if (entries_.empty()) return nullptr;
  if (name == "default") return &entries_.front();
  for (PoolEntry& entry : entries_) {
    if (entry.gone) continue;
    const std::vector<std::string>& aliases = entry.spec.load.aliases;
    if (entry.spec.load.id == name || std::ranges::find(aliases, name) != aliases.end())
      return &entry;
  }
  return nullptr;
}

// Asks the source, too, without the lock.
PoolEntry* ModelPool::find(Lock& lock, std::string_view name) {
  if (PoolEntry* entry = find_locked(name); entry != nullptr || source_ == nullptr) return entry;
  lock.unlock();
  Result<ModelSpec> found = source_->find(name);
  lock.lock();
  return found.ok() ? add_found_locked(std::move(*found)) : nullptr;
}

// Of what was found once and is not loaded the file may be another one by now, or gone.
PoolEntry* ModelPool::find_to_load(Lock& lock, std::string_view name) {
  PoolEntry* const entry = find(lock, name);
  if (entry == nullptr || !entry->found || entry->bytes > 0) return entry;
  const std::string id = entry->spec.load.id;
  lock.unlock();
  refresh(id);
  lock.lock();
  return entry->gone ? nullptr : entry;
}

Error ModelPool::not_found_locked(std::string_view name) const {
  std::string known;
  size_t told = 0;
  for (const PoolEntry& entry : entries_) {
    if (told++ == kNamesTold) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + entry.spec.load.id;
  }
  return fail(Code::kNotFound,
              fmt::format("The model `{}` does not exist here. Served: {}", name, known), "model");
}

bool ModelPool::knows(std::string_view name) {
  Lock lock(mutex_);
  return find(lock, name) != nullptr;
}

// --- Leases ---

ModelLease ModelPool::lease_locked(PoolEntry& entry, bool uses) {
  ++leases_;
  ++(uses ? entry.uses : entry.looks);
  if (uses) entry.used_at = clock_.now();
  return {this, entry, entry.model.get(), uses};
}

void ModelPool::release(PoolEntry& entry, bool uses) {
  const std::lock_guard lock(mutex_);
  --leases_;
  --(uses ? entry.uses : entry.looks);
  if (uses) entry.used_at = clock_.now();
  changed_locked();
}

std::optional<Result<ModelLease>> ModelPool::try_lease(std::string_view name) {
  Lock lock(mutex_);
  if (!open_) return fail(Code::kUnavailable, "no model is loaded yet", "model");
  PoolEntry* const entry = find(lock, name);
  if (entry == nullptr) return not_found_locked(name);
  retire_failed_locked(*entry);
  if (entry->state == ModelState::kLoaded) return lease_locked(*entry, true);
  if (closed_ || loader_ == nullptr) return closed_error();
  return std::nullopt;
}

Result<ModelLease> ModelPool::lease(std::string_view name) {
  std::optional<Result<ModelLease>> lease = try_lease(name);
  if (lease) return *std::move(lease);
  return fail(Code::kUnavailable, fmt::format("the model `{}` is not loaded", name), "model");
}

std::vector<ModelLease> ModelPool::lease_all() {
  const std::lock_guard lock(mutex_);
  std::vector<ModelLease> leases;
  for (PoolEntry& entry : entries_)
    if (entry.model != nullptr) leases.push_back(lease_locked(entry, false));
  return leases;
}

uint64_t ModelPool::wait(std::string_view name, ModelWaiter waiter) {
  Lock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  PoolEntry* const entry = find_to_load(lock, name);
  const auto answer = [&](Result<ModelLease> result) {
    lock.unlock();
    waiter.ready(std::move(result));
    return ticket;
  };
  if (entry == nullptr) return answer(not_found_locked(name));
  retire_failed_locked(*entry);
  if (entry->state == ModelState::kLoaded) return answer(lease_locked(*entry, true));
  if (closed_ || loader_ == nullptr) return answer(closed_error());
  const TimePoint now = clock_.now();
  entry->waiting.push_back(
      std::make_shared<PoolWaiting>(PoolWaiting{std::move(waiter), ticket, now}));
  const bool asked = std::ranges::find(loads_, entry) != loads_.end();
  if (!asked && entry->state != ModelState::kLoading) loads_.push_back(entry);
  changed_locked();
  return ticket;
}

std::shared_ptr<void> ModelPool::forget(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  for (PoolEntry& entry : entries_) {
    for (auto waiting = entry.waiting.begin(); waiting != entry.waiting.end(); ++waiting) {
      if ((*waiting)->ticket != ticket) continue;
      std::shared_ptr<PoolWaiting> found = std::move(*waiting);
      entry.waiting.erase(waiting);
      changed_locked();
      return found;
    }
  }
  return nullptr;
}

// --- Looking ---

uint64_t ModelPool::used_locked(bool with_leaving) const {
  uint64_t bytes = 0;
  for (const PoolEntry& entry : entries_)
    if (with_leaving || entry.state != ModelState::kUnloading) bytes += entry.bytes;
  return bytes;
}

uint64_t ModelPool::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_locked(true);
}

ModelStatus ModelPool::status_of(Lock& lock, PoolEntry& entry) {
  std::string unreadable;
  if (entry.info == nullptr) {
    const ModelSpec spec = entry.spec;
    lock.unlock();
    Result<ModelInfo> info = loader_->describe(spec);
    lock.lock();
    if (!info.ok()) {
      unreadable = info.error().message;
    } else if (entry.info == nullptr) {
      info->created_unix_s = entry.created_unix_s;
      entry.info = std::make_shared<const ModelInfo>(*std::move(info));
    }
  }
  return entry.status(clock_.now(), std::move(unreadable));
}

std::vector<ModelStatus> ModelPool::list() {
  std::vector<ModelSpec> found;
  if (source_ != nullptr) found = source_->list();
  Lock lock(mutex_);
  std::vector<const PoolEntry*> there;
  for (ModelSpec& spec : found) there.push_back(add_found_locked(std::move(spec)));
  std::vector<ModelStatus> all;
  for (PoolEntry& entry : entries_) {
    // What was found once may have been removed since.
    const bool gone = entry.found && std::ranges::find(there, &entry) == there.end();
    if (!gone || entry.bytes > 0) all.push_back(status_of(lock, entry));
  }
  return all;
}

std::vector<ModelStatus> ModelPool::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> all;
  for (const PoolEntry& entry : entries_) {
    if (!entry.found || entry.state != ModelState::kUnloaded)
      all.push_back(entry.status(clock_.now(), {}));
  }
  return all;
}

Result<ModelStatus> ModelPool::look(std::string_view name) {
  Lock lock(mutex_);
  PoolEntry* const entry = find(lock, name);
  if (entry == nullptr) return not_found_locked(name);
  return status_of(lock, *entry);
}

Result<ModelState> ModelPool::unload(std::string_view name) {
  Lock lock(mutex_);
  PoolEntry* const entry = find(lock, name);
  if (entry == nullptr) return not_found_locked(name);
  if (loader_ == nullptr)
    return fail(Code::kUnsupported, "the only model there is cannot be unloaded", "model");
  if (entry->state == ModelState::kLoading)
    return fail(Code::kUnavailable, fmt::format("{} is being loaded", entry->spec.load.id),
                "model");
  if (entry->state == ModelState::kLoaded) entry->state = ModelState::kUnloading;
  changed_locked();
  return entry->state;
}

// --- The loader's thread ---

void ModelPool::run() {
  for (;;) {
    uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      seen = changes_;
    }
    TimePoint next = clock_.now() + kSleepMax;
    // What was thrown is tried again: those who wait must not do so until something changes.
    if (!guarded("[pool]", [&] { next = std::min(next, work()); }).ok())
      next = clock_.now() + kAgainAfter;
    Lock lock(mutex_);
    changed_.wait_until(lock, next, [&] { return closed_ || changes_ != seen; });
  }
}

}  // namespace pippin::service
