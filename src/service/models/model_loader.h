// What the model pool is told and what it asks for: ModelSpec, a model that can be loaded;
// ModelLoader, who loads it; ModelSource, who knows of more. Implemented by the app. Thread: any,
// unless said otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "service/models/load.h"
#include "service/models/model.h"

namespace pippin::service {

/// How long a model stays loaded after its last request; nothing: until its memory is needed.
using KeepAlive = std::optional<Duration>;

/// A model that can be loaded.
struct ModelSpec {
  LoadOptions load;
  bool pinned = false;  // neither time nor another model's need unloads it
  KeepAlive keep_alive;
};

/// What the pool has done for it. Thread: any for describe(); the others by one at a time.
class ModelLoader {
 public:
  using Progress = std::function<void(uint64_t done, uint64_t total)>;

  virtual ~ModelLoader() = default;
  virtual Result<ModelInfo> describe(const ModelSpec& spec) = 0;
  virtual Result<MemorySizing> size(const ModelSpec& spec) = 0;
  /// Loads within `bytes_max`. `progress` may be called on any thread until this returns.
  virtual Result<std::unique_ptr<Model>> load(const ModelSpec& spec, uint64_t bytes_max,
                                              const Progress& progress) = 0;
};

/// Models beyond those that were named, as on a disk.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  /// Errors: kNotFound.
  virtual Result<ModelSpec> find(std::string_view name) = 0;
  virtual std::vector<ModelSpec> list() = 0;
};

}  // namespace pippin::service
