// Phi 3.5 MoE: layer norms, biases of attention and of the output, and a router that weighs each
// choice against those close to it.
#include "models/families/expert_fields.h"
#include "models/families/family.h"
#include "store/config_limits.h"

namespace pippin::models {
namespace {

constexpr float kCloseness = 0.02f;  // twice the router's jitter

constexpr store::ModuleName kNames[] = {{"block_sparse_moe.gate", "ffn_gate_inp"}};

// Its LongRoPE has a magnitude of its own.
Result<void> read_magnitude(const store::HfFields& rope, store::ModelConfig& config) {
  if (!rope.has("short_mscale")) return {};
  ASSIGN_OR_RETURN(config.rope.attention_factor,
                   rope.number("short_mscale", 1e-6, store::kScaleMax));
  ASSIGN_OR_RETURN(const double beyond, rope.number("long_mscale", 1e-6, store::kScaleMax,
                                                    config.rope.attention_factor));
  if (beyond != config.rope.attention_factor)
    return rope.unsupported("long_mscale", "it is not supported unless it equals short_mscale");
  return {};
}

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  RETURN_IF_ERROR(read_experts(fields, {.inner = {}}, config));
  ASSIGN_OR_RETURN(const double jitter, fields.number("router_jitter_noise", 0, 1, kCloseness / 2));
  config.experts.closeness = static_cast<float>(2 * jitter);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    ASSIGN_OR_RETURN(const std::optional<store::HfFields> rope, fields.object(key));
    if (rope) return read_magnitude(*rope, config);
  }
  return {};
}

// GGUF files name the constant of its norms as that of RMS norms.
void complete(store::ModelConfig& config) { config.norm = store::NormKind::kLayer; }

constexpr store::HfFamily kHf[] = {{.model_type = "phimoe",
                                    .architecture = "phimoe",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .names = kNames,
                                    .read = read}};

}  // namespace

extern const Family kPhiMoe;
constexpr Family kPhiMoe = {
    "phimoe",
    "Phi 3.5 MoE, Phi mini MoE",
    {.experts = MoeOptions{.scores = nn::RouterScores::kSparseMixer, .closeness = kCloseness}},
    kHf,
    complete};

}  // namespace pippin::models
