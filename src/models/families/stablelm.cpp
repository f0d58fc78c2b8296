// StableLM: layer norms, a quarter of each head rotated, in some attention beside feed-forward.
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> refuse_qk_norm(const store::HfFields& fields, store::ModelConfig& /*config*/) {
  ASSIGN_OR_RETURN(const bool normed, fields.flag("qk_layernorm", false));
  if (normed)
    return fields.unsupported("qk_layernorm", "norms of each head apart are not supported");
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "stablelm",
                                    .architecture = "stablelm",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "layer_norm_eps",
                                    .partial_rotary = 0.25,
                                    .read = refuse_qk_norm}};

}  // namespace

extern const Family kStableLm;
constexpr Family kStableLm = {"stablelm", "StableLM 2", {.parallel_by_norm = true}, kHf};

}  // namespace pippin::models
