#include "service/models/model_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/unix_time.h"

namespace pippin::service {
namespace {

constexpr size_t kNamesTold = 8;  // of the models there are, where one is not found

}  // namespace

void ModelTable::add_loaded(std::unique_ptr<Model> model) {
  PoolEntry& entry = pool_.entries.emplace_back();
  entry.spec.load.id = model->id;
  entry.spec.load.aliases = model->aliases;
  entry.spec.pinned = true;
  entry.created_unix_s = model->created_unix_s;
  entry.take(std::move(model), pool_.clock.now());
}

Result<void> ModelTable::add(ModelSpec spec) {
  if (spec.load.id.empty()) spec.load.id = model_id_of(spec.load.path);
  std::vector<std::string> names = spec.load.aliases;
  names.push_back(spec.load.id);
  for (const std::string& name : names) {
    if (find_known(name) == nullptr) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("two models are called {}: give one of them another name", name),
                "model");
  }
  pool_.entries.emplace_back(std::move(spec), unix_now_s());
  return {};
}

// A model of the source: of names that are taken the others are left.
PoolEntry* ModelTable::add_found(ModelSpec spec) {
  if (spec.load.id.empty()) spec.load.id = model_id_of(spec.load.path);
  if (PoolEntry* known = find_known(spec.load.id)) {
    if (known->found && known->spec.load.path != spec.load.path) {
      retire(*known);
      known->spec.load.path = std::move(spec.load.path);
    }
    return known;
  }
  for (PoolEntry& entry : pool_.entries) {
    if (!entry.gone || entry.spec.load.id != spec.load.id) continue;
    entry.spec = std::move(spec);
    entry.gone = false;
    return &entry;
  }
  std::erase_if(spec.load.aliases,
                [this](const std::string& name) { return find_known(name) != nullptr; });
  PoolEntry& entry = pool_.entries.emplace_back(std::move(spec), unix_now_s());
  entry.found = true;
  return &entry;
}

// What was known of a model's file is true no more.
void ModelTable::retire(PoolEntry& entry) {
  entry.info.reset();
  entry.sizing.reset();
  entry.error.clear();
  if (entry.state == ModelState::kLoaded) entry.state = ModelState::kUnloading;
  if (entry.state == ModelState::kFailed) entry.state = ModelState::kUnloaded;
  entry.stale = entry.state == ModelState::kLoading;
  pool_.note_change();
}

void ModelTable::retire_if_failed(PoolEntry& entry) {
  if (entry.state != ModelState::kLoaded || pool_.loader == nullptr) return;
  if (entry.model->engine == nullptr || !entry.model->engine->has_failed()) return;
  log::warn("[models] {} has failed, and is loaded anew", entry.spec.load.id);
  entry.state = ModelState::kUnloading;
  pool_.note_change();
}

void ModelTable::refresh(Lock& lock, std::string_view name) {
  lock.unlock();
  Result<ModelSpec> found = pool_.source->find(name);
  lock.lock();
  PoolEntry* const known = find_known(name);
  if (found.ok()) {
    add_found(std::move(*found));
  } else if (known != nullptr && known->found) {
    known->gone = true;
    retire(*known);
    PoolCalls calls;
    calls.add_all(known->waiting, not_found(name));
    calls.run(lock);
  }
}

PoolEntry* ModelTable::find_known(std::string_view name) {
  if (pool_.entries.empty()) return nullptr;
  if (name == "default") return &pool_.entries.front();
  for (PoolEntry& entry : pool_.entries) {
    if (entry.gone) continue;
    const std::vector<std::string>& aliases = entry.spec.load.aliases;
    if (entry.spec.load.id == name || std::ranges::find(aliases, name) != aliases.end())
      return &entry;
  }
  return nullptr;
}

PoolEntry* ModelTable::find(Lock& lock, std::string_view name) {
  if (PoolEntry* entry = find_known(name); entry != nullptr || pool_.source == nullptr)
    return entry;
  lock.unlock();
  Result<ModelSpec> found = pool_.source->find(name);
  lock.lock();
  return found.ok() ? add_found(std::move(*found)) : nullptr;
}

PoolEntry* ModelTable::find_to_load(Lock& lock, std::string_view name) {
  PoolEntry* const entry = find(lock, name);
  if (entry == nullptr || !entry->found || entry->bytes > 0) return entry;
  refresh(lock, std::string(entry->spec.load.id));
  return entry->gone ? nullptr : entry;
}

Error ModelTable::not_found(std::string_view name) const {
  std::string known;
  size_t told = 0;
  for (const PoolEntry& entry : pool_.entries) {
    if (told++ == kNamesTold) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + entry.spec.load.id;
  }
  return fail(Code::kNotFound,
              fmt::format("The model `{}` does not exist here. Served: {}", name, known), "model");
}

ModelStatus ModelTable::status_of(Lock& lock, PoolEntry& entry) {
  std::string unreadable;
  if (entry.info == nullptr) {
    const ModelSpec spec = entry.spec;
    lock.unlock();
    Result<ModelInfo> info = pool_.loader->describe(spec);
    lock.lock();
    if (!info.ok()) {
      unreadable = info.error().message;
    } else if (entry.info == nullptr) {
      info->created_unix_s = entry.created_unix_s;
      entry.info = std::make_shared<const ModelInfo>(*std::move(info));
    }
  }
  return entry.status(pool_.clock.now(), std::move(unreadable));
}

std::vector<ModelStatus> ModelTable::list(Lock& lock) {
  std::vector<ModelSpec> found;
  if (pool_.source != nullptr) {
    lock.unlock();
    found = pool_.source->list();
    lock.lock();
  }
  std::vector<const PoolEntry*> there;
  for (ModelSpec& spec : found) there.push_back(add_found(std::move(spec)));
  std::vector<ModelStatus> all;
  for (PoolEntry& entry : pool_.entries) {
    // What was found once may have been removed since.
    const bool gone = entry.found && std::ranges::find(there, &entry) == there.end();
    if (!gone || entry.bytes > 0) all.push_back(status_of(lock, entry));
  }
  return all;
}

std::vector<ModelStatus> ModelTable::states() const {
  std::vector<ModelStatus> all;
  for (const PoolEntry& entry : pool_.entries) {
    if (!entry.found || entry.state != ModelState::kUnloaded)
      all.push_back(entry.status(pool_.clock.now(), {}));
  }
  return all;
}

}  // namespace pippin::service
