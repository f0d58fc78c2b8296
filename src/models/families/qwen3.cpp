// Qwen 3: a llama with a norm of each head of q and k.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "qwen3",
                                    .architecture = "qwen3",
                                    .head_dim = 128,
                                    .window_rule = store::WindowRule::kFlag,
                                    .to_gguf = true}};

}  // namespace

extern const Family kQwen3;
constexpr Family kQwen3 = {"qwen3", "Qwen 3 dense", {.qk_norm = true},
                           kHf,     nullptr,        ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
