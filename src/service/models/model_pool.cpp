#include "service/models/model_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "service/models/model_loads.h"
#include "service/models/model_table.h"
#include "service/models/pool_state.h"

namespace pippin::service {
namespace {

using Lock = PoolState::Lock;

const SystemClock kSystemClock;

}  // namespace

ModelPool::ModelPool()
    : state_(std::make_unique<PoolState>(0, nullptr, nullptr, kSystemClock)),
      table_(std::make_unique<ModelTable>(*state_)),
      loads_(std::make_unique<ModelLoads>(*state_)) {}

ModelPool::ModelPool(uint64_t budget_bytes, ModelLoader& loader, ModelSource* source,
                     const Clock& clock)
    : state_(std::make_unique<PoolState>(budget_bytes, &loader, source, clock)),
      table_(std::make_unique<ModelTable>(*state_)),
      loads_(std::make_unique<ModelLoads>(*state_)) {}

ModelPool::~ModelPool() {
  stop();
  Lock lock(state_->mutex);
  const auto none_left = [this] { return state_->leases == 0; };
  if (state_->changed.wait_for(lock, std::chrono::seconds(5), none_left)) return;
  // Freeing a model under a request would be worse than not freeing it: the process is about to
  // end.
  log::warn("[models] {} requests still hold a model at exit", state_->leases);
  for (PoolEntry& entry : state_->entries) static_cast<void>(entry.model.release());
}

void ModelPool::add(std::unique_ptr<Model> model) {
  CHECK(model != nullptr && model->engine != nullptr && model->tokenizer != nullptr,
        "a model that is not loaded");
  const std::lock_guard lock(state_->mutex);
  table_->add_loaded(std::move(model));
  state_->open = true;
}

Result<void> ModelPool::add(ModelSpec spec) {
  CHECK(state_->loader != nullptr, "a pool without a loader");
  const std::lock_guard lock(state_->mutex);
  return table_->add(std::move(spec));
}

void ModelPool::start() {
  thread_ = Thread("[pool]", [this] { loads_->run(); });
}

void ModelPool::open() {
  const std::lock_guard lock(state_->mutex);
  state_->open = true;
}

void ModelPool::close() {
  Lock lock(state_->mutex);
  state_->closed = true;
  state_->loads.clear();
  PoolCalls calls;
  for (PoolEntry& entry : state_->entries) calls.add_all(entry.waiting, PoolState::closed_error());
  state_->note_change();
  calls.run(lock);
}

void ModelPool::stop() {
  close();
  thread_.join();
}

TimePoint ModelPool::work() { return loads_->work(); }

// --- Leases ---

std::optional<Result<ModelLease>> ModelPool::try_lease(std::string_view name) {
  Lock lock(state_->mutex);
  if (!state_->open) return fail(Code::kUnavailable, "no model is loaded yet", "model");
  PoolEntry* const entry = table_->find(lock, name);
  if (entry == nullptr) return table_->not_found(name);
  table_->retire_if_failed(*entry);
  if (entry->state == ModelState::kLoaded) return state_->lease(*entry, true);
  if (state_->closed || state_->loader == nullptr) return PoolState::closed_error();
  return std::nullopt;
}

Result<ModelLease> ModelPool::lease(std::string_view name) {
  std::optional<Result<ModelLease>> lease = try_lease(name);
  if (lease) return *std::move(lease);
  return fail(Code::kUnavailable, fmt::format("the model `{}` is not loaded", name), "model");
}

std::vector<ModelLease> ModelPool::lease_all() {
  const std::lock_guard lock(state_->mutex);
  std::vector<ModelLease> leases;
  for (PoolEntry& entry : state_->entries)
    if (entry.model != nullptr) leases.push_back(state_->lease(entry, false));
  return leases;
}

uint64_t ModelPool::wait(std::string_view name, ModelWaiter waiter) {
  Lock lock(state_->mutex);
  const uint64_t ticket = next_ticket_++;
  PoolEntry* const entry = table_->find_to_load(lock, name);
  const auto answer = [&](Result<ModelLease> result) {
    lock.unlock();
    waiter.ready(std::move(result));
    return ticket;
  };
  if (entry == nullptr) return answer(table_->not_found(name));
  table_->retire_if_failed(*entry);
  if (entry->state == ModelState::kLoaded) return answer(state_->lease(*entry, true));
  if (state_->closed || state_->loader == nullptr) return answer(PoolState::closed_error());
  const TimePoint now = state_->clock.now();
  entry->waiting.push_back(
      std::make_shared<PoolWaiting>(PoolWaiting{std::move(waiter), ticket, now}));
  const bool asked = std::ranges::find(state_->loads, entry) != state_->loads.end();
  if (!asked && entry->state != ModelState::kLoading) state_->loads.push_back(entry);
  state_->note_change();
  return ticket;
}

std::shared_ptr<void> ModelPool::forget(uint64_t ticket) {
  const std::lock_guard lock(state_->mutex);
  for (PoolEntry& entry : state_->entries) {
    for (auto waiting = entry.waiting.begin(); waiting != entry.waiting.end(); ++waiting) {
      if ((*waiting)->ticket != ticket) continue;
      std::shared_ptr<PoolWaiting> found = std::move(*waiting);
      entry.waiting.erase(waiting);
      state_->note_change();
      return found;
    }
  }
  return nullptr;
}

Result<ModelState> ModelPool::unload(std::string_view name) {
  Lock lock(state_->mutex);
  PoolEntry* const entry = table_->find(lock, name);
  if (entry == nullptr) return table_->not_found(name);
  if (state_->loader == nullptr)
    return fail(Code::kUnsupported, "the only model there is cannot be unloaded", "model");
  if (entry->state == ModelState::kLoading)
    return fail(Code::kUnavailable, fmt::format("{} is being loaded", entry->spec.load.id),
                "model");
  if (entry->state == ModelState::kLoaded) entry->state = ModelState::kUnloading;
  state_->note_change();
  return entry->state;
}

// --- Which models there are ---

void ModelPool::refresh(std::string_view name) {
  if (state_->source == nullptr) return;
  Lock lock(state_->mutex);
  table_->refresh(lock, name);
}

bool ModelPool::knows(std::string_view name) {
  Lock lock(state_->mutex);
  return table_->find(lock, name) != nullptr;
}

std::vector<ModelStatus> ModelPool::list() {
  Lock lock(state_->mutex);
  return table_->list(lock);
}

std::vector<ModelStatus> ModelPool::states() const {
  const std::lock_guard lock(state_->mutex);
  return table_->states();
}

Result<ModelStatus> ModelPool::look(std::string_view name) {
  Lock lock(state_->mutex);
  PoolEntry* const entry = table_->find(lock, name);
  if (entry == nullptr) return table_->not_found(name);
  return table_->status_of(lock, *entry);
}

uint64_t ModelPool::budget_bytes() const { return state_->budget_bytes; }

uint64_t ModelPool::used_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->used_bytes(true);
}

}  // namespace pippin::service
