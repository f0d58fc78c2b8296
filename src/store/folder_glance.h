// FolderGlance: what a model's folder tells of a model that cannot be read, or beside what is read
// of it. Nothing here is an error: what cannot be told is left out. Thread: any.
#pragma once

#include <cstdint>
#include <string>

namespace pippin::store {

struct FolderGlance {
  std::string model_type;    // of config.json: "llama"
  std::string quantisation;  // "bitsandbytes", "fp8", "mxfp4"; empty: of none that has a name
  bool sees = false;         // the model takes pictures
  uint64_t weights_bytes = 0;
  uint64_t parameters = 0;  // 0: quantised in a form that hides the number
};

/// Returns what config.json tells, nothing of the weights.
FolderGlance glance_at_config(const std::string& folder);
/// Returns all of it. Cost: the headers of all files of weights.
FolderGlance glance_at(const std::string& folder);

}  // namespace pippin::store
