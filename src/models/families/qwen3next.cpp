// Qwen 3 Next: gated delta nets whose projections are kept by heads of keys, attention with output
// gates in every fourth layer, and experts beside a shared one.
#include "models/families/family.h"
#include "models/families/qwen_hybrid.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3_next",
                                    .architecture = "qwen3next",
                                    .vocab = 151936,
                                    .width = 2048,
                                    .feed_forward = 5632,
                                    .layers = 48,
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
  options.experts = MoeOptions{.normalise = true};
  return options;
}

}  // namespace

extern const Family kQwen3Next;
constexpr Family kQwen3Next = {"qwen3next", "Qwen 3 Next, Qwen3-Coder-Next", options(), kHf,
                               nullptr,     ThinkingSwitch::kAlways};

}  // namespace pippin::models
