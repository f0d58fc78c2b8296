// ModelTable: which models there are, by what names, and how each one stands. Owner: the ModelPool.
// Thread: any, under the pool's lock. A function that takes the lock may give it up meanwhile, to
// ask the source or to read a file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "service/models/model_status.h"
#include "service/models/pool_state.h"

namespace pippin::service {

class ModelTable {
 public:
  using Lock = PoolState::Lock;

  explicit ModelTable(PoolState& pool) : pool_(pool) {}

  /// Takes a model that is loaded when it is asked for. Errors: kInvalidArgument, a name that
  /// another one has.
  Result<void> add(ModelSpec spec);
  /// Takes a loaded model, which nobody could load again.
  void add_loaded(std::unique_ptr<Model> model);

  /// Returns the model of a name, or null; asks the source, too.
  PoolEntry* find(Lock& lock, std::string_view name);
  /// The same; of what was found once and is not loaded the file may be another one by now, or
  /// gone.
  PoolEntry* find_to_load(Lock& lock, std::string_view name);
  /// Returns the error of a name that means none, naming the models there are.
  Error not_found(std::string_view name) const;
  /// Asks the source anew what a name means.
  void refresh(Lock& lock, std::string_view name);
  /// A model whose device thread has ended is loaded anew for those who ask next, if it can be.
  void retire_if_failed(PoolEntry& entry);

  /// Returns how a model stands; what was not seen before is read from its file.
  ModelStatus status_of(Lock& lock, PoolEntry& entry);
  /// Returns all models, those of the source among them.
  std::vector<ModelStatus> list(Lock& lock);
  /// Returns those that were named or are loaded; no file is read.
  std::vector<ModelStatus> states() const;

 private:
  PoolEntry* find_known(std::string_view name);
  PoolEntry* add_found(ModelSpec spec);
  void retire(PoolEntry& entry);

  PoolState& pool_;
};

}  // namespace pippin::service
