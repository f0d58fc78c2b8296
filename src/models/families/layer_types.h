// What configurations have in common of layers: which are recurrent, or rotate heads; how queries
// grow; and how large Mamba 2 is. Thread: any.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

namespace pippin::models {

/// Reads layer_types. Errors: kInvalidFile, for a list of another length; kUnsupported, for a type
/// that is neither a recurrence nor attention.
Result<std::vector<bool>> read_recurrent_layers(const store::HfFields& fields,
                                                const store::ModelConfig& config);

/// Reads no_rope_layers, which has a one for each layer whose heads are rotated, or else
/// no_rope_layer_interval, which says that every n-th has none. Errors: kInvalidFile.
Result<std::vector<bool>> read_rotated_layers(const store::HfFields& fields,
                                              const store::ModelConfig& config);

/// Reads how queries grow with their position beyond the original context (Ministral 3, Mistral 4).
/// Errors: kInvalidFile.
Result<void> read_query_scale(const store::HfFields& fields, store::ModelConfig& config);

/// How a family calls the sizes of Mamba 2.
struct Mamba2Fields {
  std::string_view taps, state, groups, heads, head_dim, expand;
  std::string_view inner = {};  // empty: it has none
  std::string_view limit = "time_step_limit";
};
Result<void> read_mamba2(const store::HfFields& fields, store::ModelConfig& config,
                         const Mamba2Fields& names);

/// Says that no layer has attention, whatever was read of it.
void leave_out_attention(store::ModelConfig& config);

}  // namespace pippin::models
