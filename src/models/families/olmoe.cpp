// OLMoE: experts, and norms of q and k over all heads together.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  if (fields.has("clip_qkv"))
    return fields.unsupported("clip_qkv", "clipped projections are not supported");
  return read_experts(fields, {.inner = {}, .normalise = "norm_topk_prob"}, config);
}

constexpr store::HfFamily kHf[] = {
    {.model_type = "olmoe", .architecture = "olmoe", .eps = 1e-5, .to_gguf = true, .read = read}};

}  // namespace

extern const Family kOlmoe;
constexpr Family kOlmoe = {"olmoe", "OLMoE", {.wide_qk_norm = true, .experts = MoeOptions{}}, kHf};

}  // namespace pippin::models
