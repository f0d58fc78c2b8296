// Qwen 3.5 and 3.6 MoE: Qwen 3.5 with experts beside a shared one that has a gate of its own.
#include "models/families/family.h"
#include "models/families/qwen_hybrid.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3_5_moe_text",
                                    .architecture = "qwen35moe",
                                    .part_of = "qwen3_5_moe",
                                    .vocab = 248320,
                                    .width = 2048,
                                    .feed_forward = 512,
                                    .layers = 40,
                                    .heads = 16,
                                    .kv_heads = 2,
                                    .head_dim = 256,
                                    .context = 32768,
                                    .eps = 1e-6,
                                    .partial_rotary = 0.25,
                                    .names = kQwenHybridNames,
                                    .parameters = kQwenHybridParameters,
                                    .ignored = kQwenHybridIgnored,
                                    .read = read_qwen_hybrid_moe}};

constexpr DecoderOptions options() {
  DecoderOptions options = qwen_hybrid_options();
  options.keys_tiled = true;
  options.experts = MoeOptions{.normalise = true};
  return options;
}

}  // namespace

extern const Family kQwen35Moe;
constexpr Family kQwen35Moe = {"qwen35moe", "Qwen 3.5 and 3.6 MoE (35B-A3B, 122B-A10B, 397B-A17B)",
                               options(),   kHf,
                               nullptr,     ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
