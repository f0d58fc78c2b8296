#include "models/families/qwen_hybrid.h"

#include "models/families/expert_fields.h"
#include "models/families/layer_types.h"

namespace pippin::models {

Result<void> read_qwen_hybrid(const store::HfFields& fields, store::ModelConfig& config) {
  constexpr int kMost = 1 << 16;
  store::RecurrentConfig& recurrent = config.recurrent;
  ASSIGN_OR_RETURN(recurrent.conv_taps, fields.size("linear_conv_kernel_dim", 2, 8, 4));
  ASSIGN_OR_RETURN(recurrent.state, fields.size("linear_key_head_dim", 1, kMost, 128));
  ASSIGN_OR_RETURN(recurrent.groups, fields.size("linear_num_key_heads", 1, kMost, 16));
  ASSIGN_OR_RETURN(recurrent.time_step_rank, fields.size("linear_num_value_heads", 1, kMost, 32));
  ASSIGN_OR_RETURN(const int value_dim, fields.size("linear_value_head_dim", 1, kMost, 128));
  recurrent.inner = value_dim * recurrent.time_step_rank;
  ASSIGN_OR_RETURN(const bool gated, fields.flag("attn_output_gate", true));
  if (!gated)
    return fields.unsupported("attn_output_gate", "attention without it is not supported");
  if (fields.has("layer_types")) {
    ASSIGN_OR_RETURN(recurrent.layers, read_recurrent_layers(fields, config));
    return {};
  }
  ASSIGN_OR_RETURN(const int period,
                   fields.size("full_attention_interval", 1, config.layers + 1, 4));
  for (int i = 1; i <= config.layers; ++i) recurrent.layers.push_back(i % period != 0);
  return {};
}

Result<void> read_qwen_hybrid_moe(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_qwen_hybrid(fields, config));
  return read_experts(fields,
                      {.shared_inner = "shared_expert_intermediate_size",
                       .normalise = "norm_topk_prob",
                       .normalise_unsaid = true},
                      config);
}

}  // namespace pippin::models
