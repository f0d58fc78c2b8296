// ModelPool: the models that can be served, as many of them loaded as one memory budget holds.
// Loads what is asked for, unloads what was not for longest, and never what is in use. This is its
// face: it leases models and lets requests wait; the ModelTable knows the models, the ModelLoads
// load and unload them. Owner: main owns the pool, the pool its models. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread.h"
#include "service/models/model_lease.h"
#include "service/models/model_loader.h"
#include "service/models/model_status.h"

namespace pippin::service {

class ModelLoads;
class ModelTable;

class ModelPool {
 public:
  /// Of loaded models alone.
  ModelPool();
  /// Requires: loader, source (may be null) and clock outlive the pool. The thread is begun by
  /// start(); a test calls work() instead.
  ModelPool(uint64_t budget_bytes, ModelLoader& loader, ModelSource* source, const Clock& clock);
  /// Requires: no more lease() and wait() calls. Waits a few seconds for leases to end; a model
  /// still leased then is left to the process's end.
  ~ModelPool();
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  /// Takes a loaded model. The first one is also called "default".
  void add(std::unique_ptr<Model> model);
  /// Takes a model that is loaded when it is asked for. Errors: kInvalidArgument, a name that
  /// another one has.
  Result<void> add(ModelSpec spec);
  void start();
  /// Until then every lease fails with kUnavailable. The first add() of a loaded model opens, too.
  void open();
  /// Ends all waiting, with kUnavailable; nothing more is loaded or unloaded from now on.
  void close();
  /// Closes, and returns once a load under way has ended: then nobody who waited is called any
  /// more.
  void stop();

  /// Leases a model that is loaded. Errors: kNotFound, naming the models there are; kUnavailable.
  Result<ModelLease> lease(std::string_view name);
  /// Returns what can be told at once: a lease or an error; nothing if the model has to be loaded.
  std::optional<Result<ModelLease>> try_lease(std::string_view name);
  /// Loads the model if need be. Returns a ticket for forget(); by then `ready` may have been
  /// called. Errors come by `ready`: as of lease(); of the loader; kOutOfMemory, what can never
  /// fit; kTimeout, at its deadline.
  uint64_t wait(std::string_view name, ModelWaiter waiter);
  /// The one who waits has gone: the waiter is dropped; a call under way may outlast this. Returns
  /// what it held, for the caller to destroy where that is safe.
  std::shared_ptr<void> forget(uint64_t ticket);

  /// Leases all loaded models, in the order they were added, to look at: no request, by which a
  /// model's age counts.
  std::vector<ModelLease> lease_all();
  /// What lies on disk by that name has changed: asks the source anew. A newer version is served
  /// from then on, a model that is gone no more; running answers end with the one they began with.
  void refresh(std::string_view name);
  /// Returns whether a name means a model here; asks the source.
  bool knows(std::string_view name);
  /// Returns all models. Cost: tens of milliseconds for each one that is seen the first time.
  std::vector<ModelStatus> list();
  /// Returns those that were named or are loaded, as far as they have been seen: no file is read.
  std::vector<ModelStatus> states() const;
  /// Errors: kNotFound.
  Result<ModelStatus> look(std::string_view name);
  /// Unloads a model once the requests end that use it; later ones load it anew. Returns its state
  /// then. Errors: kNotFound; kUnavailable while it is being loaded.
  Result<ModelState> unload(std::string_view name);

  uint64_t budget_bytes() const;
  uint64_t used_bytes() const;

  /// Does the next thing that is to be done, if any. Returns when to call again, if nothing changes
  /// before. Thread: the loader's.
  TimePoint work();

 private:
  const std::unique_ptr<PoolState> state_;
  const std::unique_ptr<ModelTable> table_;
  const std::unique_ptr<ModelLoads> loads_;
  uint64_t next_ticket_ = 1;  // under the lock
  Thread thread_;
};

}  // namespace pippin::service
