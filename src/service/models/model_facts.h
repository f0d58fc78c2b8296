// ModelFacts: what a model's files say of themselves, for APIs that show it to people. Plain data,
// made while the file is open. Thread: any.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "store/checkpoint.h"

namespace pippin::service {

struct ModelFacts {
  std::string path;
  uint64_t bytes = 0;
  int64_t modified_unix_s = 0;
  uint64_t parameters = 0;           // elements of all tensors
  std::string architecture;          // "qwen2"; empty if the file does not say
  std::string quantization;          // "Q4_K_M", "BF16", "4-bit"
  std::string license;               // empty if the file does not say
  std::string metadata_json = "{}";  // keys and values as GGUF names them; arrays are null
  std::string tensors_json = "[]";   // [{"name", "type", "shape"}, ..]
};

ModelFacts facts_of(const store::Checkpoint& checkpoint);
/// Opens a model for its facts alone. Errors: of Checkpoint::open(). Cost: tens of milliseconds.
Result<ModelFacts> read_model_facts(const std::string& path);

/// Returns "1.5B", "134.5M".
std::string short_count(uint64_t count);

}  // namespace pippin::service
