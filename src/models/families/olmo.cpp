// OLMo 1: a llama whose norms are layer norms without weights.
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  config.norm_eps = 1e-5f;
  if (fields.has("clip_qkv"))
    return fields.unsupported("clip_qkv", "clipped queries, keys and values are not supported");
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "olmo",
                                    .architecture = "olmo",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .to_gguf = true,
                                    .read = read}};

}  // namespace

extern const Family kOlmo;
constexpr Family kOlmo = {"olmo", "OLMo 1", {.rope_interleaved = true, .norm_weights = false}, kHf};

}  // namespace pippin::models
