// StarCoder 2: layer norms and biases throughout, and no gate.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"mlp.c_fc", "ffn_up"}, {"mlp.c_proj", "ffn_down"}};
constexpr store::HfFamily kHf[] = {{.model_type = "starcoder2",
                                    .architecture = "starcoder2",
                                    .activation = "gelu_pytorch_tanh",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "norm_epsilon",
                                    .names = kNames,
                                    .to_gguf = true}};

}  // namespace

extern const Family kStarcoder2;
constexpr Family kStarcoder2 = {
    "starcoder2", "StarCoder 2", {.gate = nn::Gate::kGeluTanh, .gated = false}, kHf};

}  // namespace pippin::models
