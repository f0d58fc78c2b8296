// Apertus: norms of heads, and a feed-forward layer without a gate, whose activation is learned.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"attention_layernorm", "attn_norm"},
                                        {"feedforward_layernorm", "ffn_norm"}};
constexpr store::ModuleName kParameters[] = {{"mlp.act_fn.alpha_p", "xielu_alpha_p"},
                                             {"mlp.act_fn.alpha_n", "xielu_alpha_n"},
                                             {"mlp.act_fn.beta", "xielu_beta"},
                                             {"mlp.act_fn.eps", "xielu_eps"}};
constexpr store::HfFamily kHf[] = {{.model_type = "apertus",
                                    .architecture = "apertus",
                                    .activation = "xielu",
                                    .eps = 1e-5,
                                    .rope_base = 12e6,
                                    .names = kNames,
                                    .parameters = kParameters}};

}  // namespace

extern const Family kApertus;
constexpr Family kApertus = {"apertus",
                             "Apertus (8B, 70B)",
                             {.qk_norm = true, .gated = false, .xielu = true},
                             kHf,
                             nullptr,
                             ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
