// GLM 4: half of each head rotated by pairs, gate and up merged; in the newer ones norms on both
// sides of each block.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"post_self_attn_layernorm", "post_attention_norm"},
                                        {"post_mlp_layernorm", "post_ffw_norm"}};
constexpr store::HfFamily kHf[] = {{.model_type = "glm4",
                                    .architecture = "glm4",
                                    .head_dim = 128,
                                    .eps = 1.5625e-7,
                                    .partial_rotary = 0.5,
                                    .names = kNames,
                                    .to_gguf = true}};

constexpr store::HfFamily kOlderHf[] = {{.model_type = "glm",
                                         .architecture = "chatglm",
                                         .head_dim = 128,
                                         .eps = 1.5625e-7,
                                         .partial_rotary = 0.5}};

}  // namespace

extern const Family kChatGlm, kGlm4;
constexpr Family kChatGlm = {
    "chatglm", "ChatGLM 3, GLM 4 9B (glm-4-9b-chat), GLM Edge", {.rope_pairs = true}, kOlderHf};
constexpr Family kGlm4 = {"glm4", "GLM 4 (0414)", {.rope_pairs = true, .post_norms = true}, kHf};

}  // namespace pippin::models
