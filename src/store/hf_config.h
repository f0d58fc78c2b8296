// read_hf_config: a Hugging Face config.json to the ModelConfig that a GGUF file of the same model
// gives, its fields checked. Plain data; thread: any.
// Source: the configuration classes of transformers.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/hf_family.h"
#include "store/hf_quantisation.h"
#include "store/model_config.h"
#include "store/tensor.h"

namespace pippin::store {

struct HfConfig {
  ModelConfig model;     // vocab_size as the file says
  bool is_part = false;  // of a model that also sees: its tensors are "language_model."'s
  /// What the file says of the output layer; nothing: the tensors tell.
  std::optional<bool> tied_output;
  bool qkv_bias = false;  // q, k and v have biases
  const HfFamily* family = nullptr;
  HfQuantisation quantisation;
};

/// Reads a config.json's text; `path` is for messages. Errors: kInvalidFile, naming the field;
/// kUnsupported, naming the architecture, the way of quantisation or the field that this build
/// cannot follow.
Result<HfConfig> read_hf_config(std::string_view text, const std::string& path);

}  // namespace pippin::store
