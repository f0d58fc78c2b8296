// Gemma 3: norms on both sides of each block, windows in five layers of six, a GELU gate, and norms
// whose weights are offsets from one.
#include "models/families/family.h"
#include "models/families/gemma.h"

namespace pippin::models {
namespace {

constexpr int kLayersOf27B = 62;

void complete(store::ModelConfig& config) { scale_by_width(config, kLayersOf27B); }

constexpr store::ModuleName kNames[] = {{"post_attention_layernorm", "post_attention_norm"}};
constexpr store::HfFamily kHf[] = {{.model_type = "gemma3_text",
                                    .architecture = "gemma3",
                                    .part_of = "gemma3",
                                    .activation = "gelu_pytorch_tanh",
                                    .vocab = 262208,
                                    .width = 2304,
                                    .feed_forward = 9216,
                                    .layers = 26,
                                    .heads = 8,
                                    .kv_heads = 4,
                                    .head_dim = 256,
                                    .context = 131072,
                                    .eps = 1e-6,
                                    .rope_base = 1e6,
                                    .window_rope_base = 10000,
                                    .query_scalar = 256,
                                    .window = 4096,
                                    .window_period = 6,
                                    .window_rule = store::WindowRule::kPeriod,
                                    .names = kNames,
                                    .to_gguf = true}};

}  // namespace

extern const Family kGemma3;
constexpr Family kGemma3 = {"gemma3",
                            "Gemma 3 text",
                            {.rope_windows_unscaled = true,
                             .qk_norm = true,
                             .post_norms = true,
                             .norm_offset = 1.0f,
                             .scale_embedding = true,
                             .gate = nn::Gate::kGeluTanh,
                             .window_period = 6,
                             .window_rope_base = 10000.0f},
                            kHf,
                            complete};

}  // namespace pippin::models
