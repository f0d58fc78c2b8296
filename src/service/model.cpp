#include "service/model.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"

namespace pippin::service {

ModelLease::~ModelLease() {
  if (pool_ != nullptr) pool_->release();
}

ModelPool::~ModelPool() {
  std::unique_lock lock(mutex_);
  if (released_.wait_for(lock, std::chrono::seconds(5), [this] { return leases_ == 0; })) return;
  // Freeing a model under a request would be worse than not freeing it: the process is about to
  // end.
  log::warn("[models] {} requests still hold a model at exit", leases_);
  for (std::unique_ptr<Model>& model : models_) static_cast<void>(model.release());
}

void ModelPool::add(std::unique_ptr<Model> model) {
  CHECK(model != nullptr && model->engine != nullptr && model->tokenizer != nullptr,
        "a model that is not loaded");
  const std::lock_guard lock(mutex_);
  models_.push_back(std::move(model));
}

Result<ModelLease> ModelPool::lease(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (models_.empty()) return fail(Code::kUnavailable, "no model is loaded yet", "model");
  if (name == "default") return lease_locked(*models_.front());
  for (const std::unique_ptr<Model>& model : models_) {
    if (model->id == name || std::ranges::find(model->aliases, name) != model->aliases.end()) {
      return lease_locked(*model);
    }
  }
  std::string known;
  for (const std::unique_ptr<Model>& model : models_)
    known += (known.empty() ? "" : ", ") + model->id;
  return fail(Code::kNotFound,
              "The model `" + std::string(name) + "` does not exist here. Served: " + known,
              "model");
}

std::vector<ModelLease> ModelPool::lease_all() {
  const std::lock_guard lock(mutex_);
  std::vector<ModelLease> leases;
  leases.reserve(models_.size());
  for (const std::unique_ptr<Model>& model : models_) leases.push_back(lease_locked(*model));
  return leases;
}

ModelLease ModelPool::lease_locked(const Model& model) {
  ++leases_;
  return {this, &model};
}

void ModelPool::release() {
  const std::lock_guard lock(mutex_);
  --leases_;
  released_.notify_all();  // under the lock: the pool may go as soon as it is given up
}

}  // namespace pippin::service
