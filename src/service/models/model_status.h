// ModelStatus: how a model of the pool stands. A value. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "service/models/model.h"
#include "service/models/model_loader.h"

namespace pippin::service {

enum class ModelState : uint8_t { kUnloaded, kLoading, kLoaded, kUnloading, kFailed };
const char* word_of(ModelState state);

/// A model as it stands now.
struct ModelStatus {
  ModelInfo info;  // only id, aliases and the file's path, if the file is unreadable
  ModelState state = ModelState::kUnloaded;
  bool pinned = false;
  bool found = false;  // by the source; else it was named when the server was started
  bool on_gpu = false;
  KeepAlive keep_alive;
  std::optional<Duration> expires_in;  // until it is unloaded, if nobody asks it before
  uint64_t memory_bytes = 0;           // that it takes of the budget
  int requests = 0, waiting = 0;       // that use it; that wait for it
  uint64_t loads = 0;                  // so far
  double loaded_part = 0;              // 0 to 1, while it is loaded
  bool unreadable = false;             // its file
  std::string error;                   // why that is so, or the last load failed
};

}  // namespace pippin::service
