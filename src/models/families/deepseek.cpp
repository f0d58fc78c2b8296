// DeepSeek 2 and 3: compressed keys and values, and experts in all but the first layers. Kimi K2 is
// built like DeepSeek 3. DeepSeek 3.2 and GLM 5 are, too, but attention covers chosen positions
// only. Mistral 4 is built like DeepSeek 2, but its queries grow with their position.
#include <algorithm>

#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "models/families/layer_types.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> read_latent(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const bool pairs, fields.flag("rope_interleave", true));
  if (!pairs) return fields.unsupported("rope_interleave", "expected true");
  store::LatentConfig& latent = config.latent;
  ASSIGN_OR_RETURN(latent.rank, fields.size("kv_lora_rank", 1, store::kWidthMax));
  ASSIGN_OR_RETURN(latent.query_rank, fields.size("q_lora_rank", 0, store::kWidthMax, 0));
  ASSIGN_OR_RETURN(latent.plain, fields.size("qk_nope_head_dim", 1, store::kHeadDimMax));
  ASSIGN_OR_RETURN(config.rope.dims, fields.size("qk_rope_head_dim", 2, store::kHeadDimMax));
  ASSIGN_OR_RETURN(latent.value, fields.size("v_head_dim", 1, store::kHeadDimMax));
  if (config.rope.dims % 2 != 0) return fields.wrong("qk_rope_head_dim", "expected an even number");
  return {};
}

constexpr ExpertFields kExperts = {.shared = "n_shared_experts",
                                   .normalise = "norm_topk_prob",
                                   .scale = "routed_scaling_factor",
                                   .groups = "n_group",
                                   .groups_used = "topk_group"};

Result<void> read_layers(const store::HfFields& fields, store::ModelConfig& config,
                         bool normalise_unsaid = false) {
  RETURN_IF_ERROR(read_latent(fields, config));
  ExpertFields experts = kExperts;
  experts.normalise_unsaid = normalise_unsaid;
  RETURN_IF_ERROR(read_experts(fields, experts, config));
  ASSIGN_OR_RETURN(config.experts.leading_dense_layers,
                   fields.size("first_k_dense_replace", 0, config.layers, 0));
  ASSIGN_OR_RETURN(const int every, fields.size("moe_layer_freq", 1, config.layers + 1, 1));
  if (every != 1)
    return fields.unsupported("moe_layer_freq", "experts in every n-th layer are not supported");
  return {};
}

// Sparse attention has families of its own.
Result<void> refuse_indexer(const store::HfFields& fields) {
  if (!fields.has("index_topk")) return {};
  return fields.unsupported("index_topk", "sparse attention is not supported in this architecture");
}

Result<void> read_v2(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(refuse_indexer(fields));
  RETURN_IF_ERROR(read_layers(fields, config));
  config.experts.gating = store::ExpertGating::kSoftmax;
  ASSIGN_OR_RETURN(const std::string method, fields.text("topk_method", "greedy"));
  if (method == "greedy") config.experts.groups = config.experts.groups_used = 1;
  return {};
}

Result<void> read_sigmoid(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_layers(fields, config));
  config.experts.gating = store::ExpertGating::kSigmoid;
  return {};
}

Result<void> read_v3(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(refuse_indexer(fields));
  return read_sigmoid(fields, config);
}

Result<void> read_mistral4(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_layers(fields, config, true));
  config.experts.gating = store::ExpertGating::kSoftmax;
  return read_query_scale(fields, config);
}

Result<void> read_v32(const store::HfFields& fields, store::ModelConfig& config) {
  store::IndexConfig& index = config.latent.index;
  ASSIGN_OR_RETURN(index.heads, fields.size("index_n_heads", 1, store::kHeadsMax));
  ASSIGN_OR_RETURN(index.dim, fields.size("index_head_dim", 1, store::kHeadDimMax));
  ASSIGN_OR_RETURN(index.top, fields.size("index_topk", 1, store::kIndexTopMax));
  return read_sigmoid(fields, config);
}

// Which layers have an indexer: as the file lists them, or the first ones and then every n-th.
Result<std::vector<bool>> indexer_layers(const store::HfFields& fields, int layers) {
  std::vector<bool> own;
  if (fields.has("indexer_types")) {
    ASSIGN_OR_RETURN(const std::vector<std::string> types,
                     fields.texts("indexer_types", static_cast<size_t>(layers)));
    for (const std::string& type : types) {
      if (type != "full" && type != "shared")
        return fields.unsupported("indexer_types", "expected full or shared");
      own.push_back(type == "full");
    }
    return own;
  }
  if (fields.has("index_topk_pattern"))
    return fields.unsupported("index_topk_pattern", "expected indexer_types instead");
  ASSIGN_OR_RETURN(const int every, fields.size("index_topk_freq", 0, store::kLayersMax, 1));
  ASSIGN_OR_RETURN(const int first, fields.size("index_skip_topk_offset", 0, store::kLayersMax, 2));
  for (int i = 0; i < layers; ++i)
    own.push_back(std::max(i - first + 1, 0) % std::max(every, 1) == 0);
  return own;
}

Result<void> read_glm5(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const bool pairs, fields.flag("indexer_rope_interleave", true));
  if (!pairs) return fields.unsupported("indexer_rope_interleave", "expected true");
  ASSIGN_OR_RETURN(config.latent.index.layers, indexer_layers(fields, config.layers));
  return read_v32(fields, config);
}

constexpr store::ModuleName kNames[] = {
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
    {"self_attn.indexer.wq_b", "indexer.attn_q_b"},
    {"self_attn.indexer.wk", "indexer.attn_k"},
    {"self_attn.indexer.k_norm", "indexer.k_norm"},
    {"self_attn.indexer.weights_proj", "indexer.proj"},
};
constexpr store::HfFamily kHf[] = {
    {.model_type = "deepseek_v2",
     .architecture = "deepseek2",
     .eps = 1e-6,
     .names = kNames,
     .read = read_v2},
    {.model_type = "deepseek_v3",
     .architecture = "deepseek2",
     .eps = 1e-6,
     .names = kNames,
     .read = read_v3},
    {.model_type = "glm4_moe_lite",
     .architecture = "deepseek2",
     .head_dim = 64,  // nothing uses it; its heads do not divide its width
     .eps = 1e-5,
     .names = kNames,
     .read = read_v3},
    {.model_type = "kimi_k2",
     .architecture = "deepseek2",
     .part_of = "kimi_k25",
     .eps = 1e-6,
     .names = kNames,
     .read = read_v3},
};

constexpr store::HfFamily kHfMistral4[] = {{.model_type = "mistral4",
                                            .architecture = "mistral4",
                                            .head_dim = 128,  // nothing uses it
                                            .eps = 1e-6,
                                            .names = kNames,
                                            .read = read_mistral4}};

constexpr store::HfFamily kHfV32[] = {{.model_type = "deepseek_v32",
                                       .architecture = "deepseek32",
                                       .eps = 1e-6,
                                       .names = kNames,
                                       .read = read_v32}};

constexpr store::HfFamily kHfGlm5[] = {{.model_type = "glm_moe_dsa",
                                        .architecture = "glm-dsa",
                                        .eps = 1e-5,
                                        .names = kNames,
                                        .read = read_glm5}};

// Converters keep a tenth of YaRN's factor of scores; cosines and sines are left as they are.
void complete_yarn(store::ModelConfig& config) {
  config.rope.yarn_log_multiplier *= 10;
  config.rope.attention_factor = 1;
}

// The first files of GLM 5.2 do not say which layers have an indexer; GLM 5's all have one.
void complete_glm5(store::ModelConfig& config) {
  complete_yarn(config);
  std::vector<bool>& own = config.latent.index.layers;
  if (!own.empty() || config.context_length < 1 << 20) return;
  for (int i = 0; i < config.layers; ++i) own.push_back(i < 2 || (i - 2) % 4 == 0);
}

void complete(store::ModelConfig& config) {
  complete_yarn(config);
  // Files without the key are of DeepSeek 2, but for the first ones of GLM 4.7 Flash.
  const bool glm = (config.layers == 47 || config.layers == 48) && config.vocab_size == 154880;
  if (config.experts.gating == store::ExpertGating::kUnsaid)
    config.experts.gating = glm ? store::ExpertGating::kSigmoid : store::ExpertGating::kSoftmax;
}

}  // namespace

extern const Family kDeepSeek;
constexpr Family kDeepSeek = {"deepseek2",
                              "DeepSeek V2, V3, V3.1, R1, Kimi K2 and K2.5 text, GLM 4.7 Flash",
                              {.rope_pairs = true,
                               .experts = MoeOptions{},
                               .latent_norm_eps = 1e-6f},  // GLM's other norms have 1e-5
                              kHf,
                              complete,
                              ThinkingSwitch::kThinking};

extern const Family kMistral4;
constexpr Family kMistral4 = {
    "mistral4",
    "Mistral Small 4 text",
    {.rope_pairs = true, .experts = MoeOptions{}, .latent_norm_eps = 1e-6f},
    kHfMistral4,
    complete,
    ThinkingSwitch::kEffort};

extern const Family kDeepSeek32;
constexpr Family kDeepSeek32 = {"deepseek32",
                                "DeepSeek V3.2",
                                {.rope_pairs = true,
                                 .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid},
                                 .latent_norm_eps = 1e-6f,
                                 .indexer = true},
                                kHfV32,
                                complete_yarn,
                                ThinkingSwitch::kThinking};

extern const Family kGlm5;
constexpr Family kGlm5 = {"glm-dsa",
                          "GLM 5, 5.1, 5.2",
                          {.rope_pairs = true,
                           .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid},
                           .latent_norm_eps = 1e-6f,
                           .indexer = true,
                           .index_rope_pairs = true},
                          kHfGlm5,
                          complete_glm5,
                          ThinkingSwitch::kEnableThinking};

}  // namespace pippin::models
