// Hunyuan dense: norms of each head behind the rotation.
#include <cmath>

#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"self_attn.query_layernorm", "attn_q_norm"},
                                        {"self_attn.key_layernorm", "attn_k_norm"}};

// Dynamic scaling by `alpha` is a larger base.
Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    ASSIGN_OR_RETURN(const std::optional<store::HfFields> rope, fields.object(key));
    if (!rope || !rope->has("alpha")) continue;
    ASSIGN_OR_RETURN(const double alpha, rope->number("alpha", 1e-3, 1e9));
    const double dims = config.head_dim_k;
    config.rope.freq_base *= std::pow(alpha, dims / (dims - 2));
    break;
  }
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "hunyuan_v1_dense",
                                    .architecture = "hunyuan-dense",
                                    .eps = 1e-5,
                                    .names = kNames,
                                    .read = read}};

}  // namespace

extern const Family kHunyuan;
constexpr Family kHunyuan = {
    "hunyuan-dense", "Hunyuan dense", {.qk_norm = true, .norm_after_rope = true}, kHf};

}  // namespace pippin::models
