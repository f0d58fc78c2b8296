// GPT-NeoX and Pythia: layer norms with biases, part of each head rotated, attention beside
// feed-forward with a norm each, and a projection that has q, k and v head by head.
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kTop[] = {{"gpt_neox.embed_in", "token_embd"},
                                      {"gpt_neox.final_layer_norm", "output_norm"},
                                      {"embed_out", "output"}};
constexpr store::ModuleName kNames[] = {{"attention.query_key_value", "attn_qkv_heads"},
                                        {"attention.dense", "attn_output"},
                                        {"mlp.dense_h_to_4h", "ffn_up"},
                                        {"mlp.dense_4h_to_h", "ffn_down"}};
constexpr std::string_view kIgnored[] = {".attention.bias", ".attention.masked_bias",
                                         ".attention.rotary_emb.inv_freq"};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.parallel_residual, fields.flag("use_parallel_residual", true));
  return {};
}

constexpr store::FieldName kFields[] = {{"partial_rotary_factor", "rotary_pct"},
                                        {"rope_theta", "rotary_emb_base"}};
constexpr store::HfFamily kHf[] = {{.model_type = "gpt_neox",
                                    .architecture = "gptneox",
                                    .activation = "gelu",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_eps",
                                    .partial_rotary = 0.25,
                                    .names = kNames,
                                    .top_names = kTop,
                                    .layer_prefix = "gpt_neox.layers.",
                                    .ignored = kIgnored,
                                    .fields = kFields,
                                    .read = read}};

}  // namespace

extern const Family kGptNeoX;
constexpr Family kGptNeoX = {"gptneox",
                             "GPT-NeoX, Pythia",
                             {.parallel = true, .gate = nn::Gate::kGelu, .gated = false},
                             kHf};

}  // namespace pippin::models
