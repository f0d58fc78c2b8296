// Phi 1, 1.5 and 2: layer norms with biases, attention and feed-forward side by side, partly
// rotated heads.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"model.final_layernorm", "output_norm"}};
constexpr store::ModuleName kNames[] = {
    {"self_attn.dense", "attn_output"}, {"mlp.fc1", "ffn_up"}, {"mlp.fc2", "ffn_down"}};
constexpr store::HfFamily kHf[] = {{.model_type = "phi",
                                    .architecture = "phi2",
                                    .activation = "gelu_new",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_eps",
                                    .partial_rotary = 0.5,
                                    .names = kNames,
                                    .top_names = kTop}};

}  // namespace

extern const Family kPhi2;
constexpr Family kPhi2 = {
    "phi2", "Phi 1, 1.5, 2", {.parallel = true, .gate = nn::Gate::kGeluTanh, .gated = false}, kHf};

}  // namespace pippin::models
