// Qwen 3 MoE: a Qwen 3 with experts.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.normalise = "norm_topk_prob"}, config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3_moe",
                                    .architecture = "qwen3moe",
                                    .window_rule = store::WindowRule::kFlag,
                                    .to_gguf = true,
                                    .read = read}};

}  // namespace

extern const Family kQwen3Moe;
constexpr Family kQwen3Moe = {"qwen3moe",
                              "Qwen 3 MoE (30B-A3B, 235B-A22B, Coder)",
                              {.qk_norm = true, .experts = MoeOptions{.normalise = true}},
                              kHf,
                              nullptr,
                              ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
