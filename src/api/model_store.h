// ModelStore: the models on this machine's disks, for APIs that fetch and remove them. Implemented
// by the app, which outlives the server. Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pippin::api {

class ModelStore {
 public:
  struct Progress {
    std::string status;                 // "pulling manifest"
    std::string digest;                 // "sha256:..", or a file's name; empty: of the whole
    uint64_t total = 0, completed = 0;  // bytes; 0 of 0: not known
  };

  virtual ~ModelStore() = default;
  /// Errors: kNotFound; kPermissionDenied; kUnsupported for a file of the user's own.
  virtual Result<void> remove(std::string_view name) = 0;
  /// Fetches a model; takes as long as that takes. Ends with kCancelled once `go_on` returns false.
  virtual Result<void> pull(std::string_view name,
                            const std::function<bool(const Progress&)>& go_on) = 0;
};

}  // namespace pippin::api
