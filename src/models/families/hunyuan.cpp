// Hunyuan, dense and with experts: norms of each head behind the rotation.
#include <cmath>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"self_attn.query_layernorm", "attn_q_norm"},
                                        {"self_attn.key_layernorm", "attn_k_norm"},
                                        {"mlp.gate.wg", "ffn_gate_inp"},
                                        {"mlp.shared_mlp.gate_proj", "ffn_gate_shexp"},
                                        {"mlp.shared_mlp.up_proj", "ffn_up_shexp"},
                                        {"mlp.shared_mlp.down_proj", "ffn_down_shexp"}};

// Dynamic scaling by `alpha` is a larger base.
Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    ASSIGN_OR_RETURN(const std::optional<store::HfFields> rope, fields.object(key));
    if (!rope || !rope->has("alpha")) continue;
    ASSIGN_OR_RETURN(const double alpha, rope->number("alpha", 1e-3, 1e9));
    const double dims = config.head_dim_k;
    config.rope.freq_base *= std::pow(alpha, dims / (dims - 2));
    break;
  }
  return {};
}

// All shared experts together are as wide as a layer without experts.
Result<void> read_moe(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read(fields, config));
  RETURN_IF_ERROR(read_experts(fields, {.used = "moe_topk", .inner = {}}, config));
  ASSIGN_OR_RETURN(const int shared,
                   fields.size_of_all("num_shared_expert", 1, store::kExpertsMax, 1));
  config.experts.shared_feed_forward = shared * config.feed_forward.front();
  ASSIGN_OR_RETURN(config.experts.feed_forward,
                   fields.size_of_all("moe_intermediate_size", 1, store::kFeedForwardMax,
                                      config.feed_forward.front()));
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "hunyuan_v1_dense",
                                    .architecture = "hunyuan-dense",
                                    .eps = 1e-5,
                                    .names = kNames,
                                    .read = read}};

constexpr store::HfFamily kMoeHf[] = {{.model_type = "hunyuan_v1_moe",
                                       .architecture = "hunyuan-moe",
                                       .eps = 1e-5,
                                       .names = kNames,
                                       .read = read_moe}};

}  // namespace

extern const Family kHunyuan, kHunyuanMoe;
constexpr Family kHunyuan = {"hunyuan-dense",
                             "Hunyuan dense",
                             {.qk_norm = true, .norm_after_rope = true},
                             kHf,
                             nullptr,
                             ThinkingSwitch::kEnableThinking};

constexpr Family kHunyuanMoe = {
    "hunyuan-moe",
    "Hunyuan A13B",
    {.qk_norm = true, .norm_after_rope = true, .experts = MoeOptions{.normalise = true}},
    kMoeHf,
    nullptr,
    ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
