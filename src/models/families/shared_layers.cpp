#include "models/families/shared_layers.h"

#include <algorithm>

#include "store/config_limits.h"

namespace pippin::models {

Result<void> read_shared_layers(const store::HfFields& fields, const SharedLayerDefaults& unsaid,
                                store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.shared_kv_layers,
                   fields.size("num_kv_shared_layers", 0, config.layers - 1,
                               std::min(unsaid.shared, config.layers - 1)));
  ASSIGN_OR_RETURN(config.layer_input,
                   fields.size("hidden_size_per_layer_input", 0, store::kWidthMax, unsaid.input));
  ASSIGN_OR_RETURN(config.layer_input_vocab,
                   fields.size("vocab_size_per_layer_input", 1, store::kVocabMax, unsaid.vocab));
  return {};
}

}  // namespace pippin::models
