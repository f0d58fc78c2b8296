// MiniMax M2: experts by sigmoids with a selection bias, norms of q and k over all heads, part of
// each head rotated.
#include "models/families/expert_fields.h"
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::ModuleName kNames[] = {{"block_sparse_moe.gate", "ffn_gate_inp"},
                                        {"block_sparse_moe.e_score_correction", "exp_probs_b"}};

Result<void> read(const store::HfFields& fields, store::ModelConfig& config) {
  ASSIGN_OR_RETURN(config.rope.dims,
                   fields.size("rotary_dim", 0, config.head_dim_k, config.rope.dims));
  if (config.rope.dims % 2 != 0) return fields.wrong("rotary_dim", "expected an even number");
  return read_experts(fields, {.inner = {}}, config);
}

constexpr store::HfFamily kHf[] = {{.model_type = "minimax_m2",
                                    .architecture = "minimax-m2",
                                    .head_dim = 128,
                                    .rope_base = 5000000,
                                    .names = kNames,
                                    .read = read}};

}  // namespace

extern const Family kMiniMaxM2;
constexpr Family kMiniMaxM2 = {
    "minimax-m2",
    "MiniMax M2, M2.1, M2.5",
    {.wide_qk_norm = true,
     .experts = MoeOptions{.scores = nn::RouterScores::kSigmoid, .normalise = true}},
    kHf,
    nullptr,
    ThinkingSwitch::kAlways};

}  // namespace pippin::models
