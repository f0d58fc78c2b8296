// Qwen 1.5 and 2 MoE: experts beside a shared one with a gate of its own.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(
      fields, {.shared_inner = "shared_expert_intermediate_size", .normalise = "norm_topk_prob"},
      config);
}

// A GGUF file may leave out the size of its shared expert.
void complete(store::ModelConfig& config) {
  if (config.experts.shared_feed_forward == 0 && !config.feed_forward.empty())
    config.experts.shared_feed_forward = config.feed_forward.front();
}

constexpr store::HfFamily kHf[] = {{.model_type = "qwen2_moe",
                                    .architecture = "qwen2moe",
                                    .qkv_bias = true,
                                    .window_rule = store::WindowRule::kFlag,
                                    .to_gguf = true,
                                    .read = read}};

}  // namespace

extern const Family kQwen2Moe;
constexpr Family kQwen2Moe = {
    "qwen2moe", "Qwen 1.5 and 2 MoE", {.experts = MoeOptions{}}, kHf, complete};

}  // namespace pippin::models
