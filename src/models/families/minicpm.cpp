// MiniCPM 1, 2 and 4: a llama with factors of embeddings, residuals and logits.
#include <cmath>

#include "models/families/family.h"
#include "store/config_limits.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const double embedding, fields.number("scale_emb", 1e-6, store::kScaleMax, 1));
  ASSIGN_OR_RETURN(const double depth, fields.number("scale_depth", 1e-6, store::kScaleMax, 1));
  ASSIGN_OR_RETURN(const int base, fields.size("dim_model_base", 1, store::kWidthMax, 1));
  config.embedding_scale = static_cast<float>(embedding);
  config.residual_scale = static_cast<float>(depth / std::sqrt(config.layers));
  config.logit_scale = static_cast<float>(config.embedding_length) / static_cast<float>(base);
  if (fields.has("sparse_config"))
    return fields.unsupported("sparse_config", "sparse attention is not supported");
  if (fields.has("num_experts"))
    return fields.unsupported("num_experts", "experts are not supported in this architecture");
  return {};
}

// Older GGUF files do not say the factors, which were those of MiniCPM 2B.
void complete(store::ModelConfig& config) {
  if (config.embedding_scale == 0) config.embedding_scale = 12;
  if (config.residual_scale == 0)
    config.residual_scale = 1.4f / std::sqrt(static_cast<float>(config.layers));
  if (config.logit_scale == 0)
    config.logit_scale = static_cast<float>(config.embedding_length) / 256;
}

constexpr store::HfFamily kHf[] = {
    {.model_type = "minicpm", .architecture = "minicpm", .eps = 1e-6, .read = read}};

}  // namespace

extern const Family kMiniCpm;
constexpr Family kMiniCpm = {"minicpm",
                             "MiniCPM 1, 2 and 4 dense",
                             {.rope_interleaved = true, .scales = true},
                             kHf,
                             complete};

}  // namespace pippin::models
