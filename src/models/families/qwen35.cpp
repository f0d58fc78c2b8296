// Qwen 3.5 and 3.6: gated delta nets, and attention with output gates in every fourth layer.
#include "models/families/family.h"
#include "models/families/qwen_hybrid.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3_5_text",
                                    .architecture = "qwen35",
                                    .part_of = "qwen3_5",
                                    .vocab = 248320,
                                    .width = 4096,
                                    .feed_forward = 12288,
                                    .layers = 32,
                                    .heads = 16,
                                    .kv_heads = 4,
                                    .head_dim = 256,
                                    .context = 32768,
                                    .eps = 1e-6,
                                    .partial_rotary = 0.25,
                                    .names = kQwenHybridNames,
                                    .parameters = kQwenHybridParameters,
                                    .ignored = kQwenHybridIgnored,
                                    .read = read_qwen_hybrid}};

constexpr DecoderOptions options() {
  DecoderOptions options = qwen_hybrid_options();
  options.keys_tiled = true;
  return options;
}

}  // namespace

extern const Family kQwen35;
constexpr Family kQwen35 = {"qwen35", "Qwen 3.5 and 3.6 dense",       options(), kHf,
                            nullptr,  ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
