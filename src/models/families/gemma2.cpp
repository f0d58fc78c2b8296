// Gemma 2: a Gemma with norms on both sides of each block, windows in every other layer, and caps
// of scores and logits.
#include "models/families/family.h"
#include "models/families/gemma.h"

namespace pippin::models {
namespace {

constexpr int kLayersOf27B = 46;

void complete(store::ModelConfig& config) { scale_by_width(config, kLayersOf27B); }

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {{.model_type = "gemma2",
                                    .architecture = "gemma2",
                                    .activation = "gelu_pytorch_tanh",
                                    .vocab = 256000,
                                    .width = 2304,
                                    .feed_forward = 9216,
                                    .layers = 26,
                                    .heads = 8,
                                    .kv_heads = 4,
                                    .head_dim = 256,
                                    .context = 8192,
                                    .eps = 1e-6,
                                    .query_scalar = 256,
                                    .window = 4096,
                                    .window_period = 2,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames,
                                    .to_gguf = true}};

}  // namespace

extern const Family kGemma2;
constexpr Family kGemma2 = {"gemma2",
                            "Gemma 2",
                            {.post_norms = true,
                             .norm_offset = 1.0f,
                             .scale_embedding = true,
                             .gate = nn::Gate::kGeluTanh,
                             .window_period = 2},
                            kHf,
                            complete};

}  // namespace pippin::models
