// read_hf_config: a Hugging Face config.json to the ModelConfig that a GGUF file of the same model
// gives, its fields checked. Plain data; thread: any.
// Source: the configuration classes of transformers; "quantization" as mlx-lm writes it.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/hf_family.h"
#include "store/model_config.h"
#include "store/tensor.h"

namespace pippin::store {

/// How MLX quantised a module.
struct MlxSettings {
  TensorType type = TensorType::kAffine4;  // kAffine*, or kMXFP4
  int group = 0;
};

struct HfConfig {
  ModelConfig model;     // vocab_size as the file says
  bool is_part = false;  // of a model that also sees: its tensors are "language_model."'s
  /// What the file says of the output layer; nothing: the tensors tell.
  std::optional<bool> tied_output;
  bool qkv_bias = false;  // q, k and v have biases
  const HfFamily* family = nullptr;
  bool mxfp4_blocks = false;  // weights may be MXFP4 as transformers keeps it: *_blocks, *_scales
  /// Nothing: the weights are floats. The modules that differ, by path; no value: they are floats.
  std::optional<MlxSettings> quantization;
  std::map<std::string, std::optional<MlxSettings>, std::less<>> exceptions;
};

/// Reads a config.json's text; `path` is for messages. Errors: kInvalidFile, naming the field;
/// kUnsupported, naming the architecture, the way of quantisation or the field that this build
/// cannot follow.
Result<HfConfig> read_hf_config(std::string_view text, const std::string& path);

}  // namespace pippin::store
