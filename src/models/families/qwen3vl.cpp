// The text models of Qwen 3 VL, dense and with experts: Qwen 3, whose rope has positions of images,
// too.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr std::string_view kTransposed[] = {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"};

Result<void> read_moe(const store::HfFields& fields, store::ModelConfig& config) {
  return read_experts(fields, {.normalise = "norm_topk_prob", .normalise_unsaid = true}, config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3_vl_text",
                                    .architecture = "qwen3vl",
                                    .part_of = "qwen3_vl",
                                    .head_dim = 128,
                                    .eps = 1e-6,
                                    .rope_base = 500000}};
constexpr store::HfFamily kMoeHf[] = {{.model_type = "qwen3_vl_moe_text",
                                       .architecture = "qwen3vlmoe",
                                       .part_of = "qwen3_vl_moe",
                                       .eps = 1e-6,
                                       .rope_base = 500000,
                                       .transposed = kTransposed,
                                       .read = read_moe}};

}  // namespace

extern const Family kQwen3Vl, kQwen3VlMoe;
constexpr Family kQwen3Vl = {"qwen3vl", "Qwen 3 VL dense, text", {.qk_norm = true}, kHf,
                             nullptr,   ThinkingSwitch::kAlways};
constexpr Family kQwen3VlMoe = {"qwen3vlmoe",
                                "Qwen 3 VL MoE (30B-A3B, 235B-A22B), text",
                                {.qk_norm = true, .experts = MoeOptions{.normalise = true}},
                                kMoeHf,
                                nullptr,
                                ThinkingSwitch::kAlways};

}  // namespace pippin::models
