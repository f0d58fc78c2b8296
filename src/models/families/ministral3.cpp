// Ministral 3: a Mistral whose queries grow with the position, beyond the original context.
#include "models/families/family.h"
#include "store/hf_fields.h"

namespace pippin::models {
namespace {

Result<void> read_query_scale(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(const std::optional<store::HfFields> rope, fields.object("rope_parameters"));
  if (!rope) return {};
  ASSIGN_OR_RETURN(const double beta, rope->number("llama_4_scaling_beta", 0, 1e3, 0));
  config.query_scale_beta = static_cast<float>(beta);
  config.query_scale_positions = config.rope.original_context;
  return {};
}

constexpr store::HfFamily kHf[] = {{.model_type = "ministral3",
                                    .architecture = "mistral3",
                                    .head_dim = 128,
                                    .read = read_query_scale}};

}  // namespace

extern const Family kMinistral3;
constexpr Family kMinistral3 = {"mistral3",
                                "Ministral 3, Mistral Small 3.2 text",
                                {.rope_interleaved = true},
                                kHf,
                                nullptr,
                                ThinkingSwitch::kAlways};

}  // namespace pippin::models
