// read_shared_layers: what config.json of Gemma 3n and 4 says of keys and values that the last
// layers share, and of embeddings for each layer. Thread: any.
#pragma once

#include "base/result.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

namespace pippin::models {

/// What the configuration class takes for fields that a file leaves out.
struct SharedLayerDefaults {
  int shared = 0;            // layers
  int input = 0, vocab = 0;  // of the embedding for each layer
};

/// Errors: kInvalidFile, naming the field.
Result<void> read_shared_layers(const store::HfFields& fields, const SharedLayerDefaults& unsaid,
                                store::ModelConfig& config);

}  // namespace pippin::models
