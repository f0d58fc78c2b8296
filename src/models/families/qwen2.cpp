// Qwen 2 and 2.5: a llama whose q, k and v have biases.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "qwen2",
                                    .architecture = "qwen2",
                                    .qkv_bias = true,
                                    .window_rule = store::WindowRule::kFlag,
                                    .to_gguf = true}};

}  // namespace

extern const Family kQwen2;
constexpr Family kQwen2 = {
    "qwen2", "Qwen 2, 2.5, Qwen2.5-Coder, QwQ", {}, kHf, nullptr, ThinkingSwitch::kAlways};

}  // namespace pippin::models
