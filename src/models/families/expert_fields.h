// read_experts: the fields of a config.json that tell of experts, by the names that most families
// have for them. Thread: any.
#pragma once

#include <string_view>

#include "base/result.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

namespace pippin::models {

/// What families call the fields. Empty: they have none.
struct ExpertFields {
  std::string_view used = "num_experts_per_tok";
  std::string_view inner = "moe_intermediate_size";  // empty: intermediate_size is the experts'
  std::string_view shared = {};                      // how many every token takes
  std::string_view shared_inner = {};                // size of all of those together
  std::string_view normalise = {};
  bool normalise_unsaid = false;  // what the configuration class takes without that field
  std::string_view scale = {};
  std::string_view groups = {}, groups_used = {};
};

/// The number of experts goes by num_experts, num_local_experts or n_routed_experts everywhere.
/// Errors: kInvalidFile, naming the field.
Result<void> read_experts(const store::HfFields& fields, const ExpertFields& names,
                          store::ModelConfig& config);

}  // namespace pippin::models
