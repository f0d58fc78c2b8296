// ModelFacts: what a model's files say of themselves, for `pippin show` and for APIs that show it
// to people. Plain data, made while the file is open. Thread: any.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "store/checkpoint.h"

namespace pippin::service {

/// How long a context the model was made for. Units: tokens; 0 = the files do not say.
struct ContextFacts {
  int tokens = 0;            // with the rope scaling of the files
  int trained_tokens = 0;    // before it
  std::string rope_scaling;  // "linear", "llama3", "yarn", "longrope"; empty: none
  double rope_factor = 1;
};

struct ModelFacts {
  std::string path;
  std::string format = "gguf";  // or "safetensors"
  uint64_t bytes = 0;
  int64_t modified_unix_s = 0;
  uint64_t parameters = 0;  // elements of all tensors
  /// Those that one token passes: all, but of experts only as many as are chosen.
  uint64_t active_parameters = 0;
  uint64_t weights_bytes = 0;  // of all tensors, as the files keep them
  int experts = 0, experts_used = 0;
  int layers = 0, embedding = 0, vocab = 0;  // 0 = the files do not say
  ContextFacts context;
  bool sees = false;                 // the model takes pictures, which are not served
  std::string architecture;          // "qwen2"; empty if the file does not say
  std::string quantization;          // "Q4_K_M", "BF16", "4-bit"
  std::string quantization_method;   // a folder's: "gptq", "awq", "affine"; empty: none is named
  std::string license;               // its name; empty if the file does not say
  std::string license_text;          // empty if it does not lie beside the weights
  std::string metadata_json = "{}";  // keys and values as GGUF names them; arrays are null
  std::string tensors_json = "[]";   // [{"name", "type", "shape"}, ..]

  /// Returns the bits that a parameter takes in the files; 0 without parameters.
  double bits_per_weight() const;
};

/// `license_files`: texts that lie beside the model, in order; else a folder's own counts.
ModelFacts facts_of(const store::Checkpoint& checkpoint,
                    std::span<const std::string> license_files = {});
/// Returns what can be told of files that store::Checkpoint refuses.
ModelFacts facts_of_unread(const std::string& path,
                           std::span<const std::string> license_files = {});

/// Returns "1.5B", "134.5M".
std::string short_count(uint64_t count);

}  // namespace pippin::service
