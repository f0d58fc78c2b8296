// What Qwen 3 Next, 3.5 and 3.6 have in common: gated delta nets beside attention with output
// gates. Thread: any.
#pragma once

#include <string_view>

#include "base/result.h"
#include "models/families/family.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

namespace pippin::models {

inline constexpr store::ModuleName kQwenHybridNames[] = {
    {"post_attention_layernorm", "post_attention_norm"},
    {"linear_attn.in_proj_qkvz", "ssm_in"},
    {"linear_attn.in_proj_ba", "ssm_ba"},
    {"linear_attn.in_proj_qkv", "attn_qkv"},
    {"linear_attn.in_proj_z", "attn_gate"},
    {"linear_attn.in_proj_a", "ssm_alpha"},
    {"linear_attn.in_proj_b", "ssm_beta"},
    {"linear_attn.conv1d", "ssm_conv1d"},
    {"linear_attn.norm", "ssm_norm"},
    {"linear_attn.out_proj", "ssm_out"}};
inline constexpr store::ModuleName kQwenHybridParameters[] = {
    {"linear_attn.A_log", "ssm_a"}, {"linear_attn.dt_bias", "ssm_dt.bias"}};
// Of layers that predict further tokens, and of pictures.
inline constexpr std::string_view kQwenHybridIgnored[] = {"mtp.", "model.visual."};

constexpr DecoderOptions qwen_hybrid_options() {
  return {.qk_norm = true,
          .norm_offset = 1.0f,
          .feed_forward_norm = "post_attention_norm",
          .recurrence = MixerKind::kDeltaNet,
          .output_gate = true};
}

/// Reads the delta nets' sizes. Errors: of the fields, by their names.
Result<void> read_qwen_hybrid(const store::HfFields& fields, store::ModelConfig& config);
/// The same, and the experts.
Result<void> read_qwen_hybrid_moe(const store::HfFields& fields, store::ModelConfig& config);

}  // namespace pippin::models
