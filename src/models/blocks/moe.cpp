#include "models/blocks/moe.h"

#include <fmt/format.h>

#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/moe.h"
#include "nn/ops/norm.h"

namespace pippin::models {
namespace {

nn::RouterScores scores_of(store::ExpertGating gating, nn::RouterScores otherwise) {
  switch (gating) {
    case store::ExpertGating::kUnsaid:
      break;
    case store::ExpertGating::kSoftmax:
      return nn::RouterScores::kSoftmax;
    case store::ExpertGating::kSigmoid:
      return nn::RouterScores::kSigmoid;
    case store::ExpertGating::kSelectedSoftmax:
      return nn::RouterScores::kSelectedSoftmax;
  }
  return otherwise;
}

nn::RouterSpec routing_of(const store::ModelConfig& config, const MoeOptions& options) {
  const store::ExpertConfig& experts = config.experts;
  nn::RouterSpec spec{.scores = scores_of(experts.gating, options.scores),
                      .experts = experts.count,
                      .used = experts.used};
  if (experts.groups > 1) {
    spec.groups = experts.groups;
    spec.groups_used = experts.groups_used;
    spec.group_by_best = options.group_by_best;
  }
  spec.normalise = experts.normalise.value_or(options.normalise);
  if (experts.scale > 0) spec.scale = experts.scale;
  spec.closeness = experts.closeness.value_or(options.closeness);
  return spec;
}

// What experts have between their projections.
int inner_of(const store::ModelConfig& config, size_t layer) {
  return config.experts.feed_forward > 0 ? config.experts.feed_forward : config.feed_forward[layer];
}

int shared_inner_of(const store::ModelConfig& config, size_t layer) {
  if (config.experts.shared_feed_forward > 0) return config.experts.shared_feed_forward;
  return config.experts.shared * inner_of(config, layer);
}

using Parts = std::vector<WeightLoader::Part>;

// The gate over the up projection: of two tensors, or of one that has the gate's rows first, or row
// by row in turn.
Parts gate_up_parts(const LayerSource& source, const std::string& end, int inner) {
  const auto has = [&](std::string_view part) {
    return source.has(std::string(part) + end) ||
           (end == "_exps" && source.has(std::string(part) + ".0"));
  };
  const std::string base = end == "_exps" ? "" : end;  // experts() adds its own
  if (has("ffn_gate_up_pairs"))
    return {{source.name("ffn_gate_up_pairs" + base), inner, 0, 2 * inner, 2},
            {source.name("ffn_gate_up_pairs" + base), inner, 1, 2 * inner, 2}};
  if (has("ffn_gate_up"))
    return {{source.name("ffn_gate_up" + base), inner, 0, 2 * inner},
            {source.name("ffn_gate_up" + base), inner, inner, 2 * inner}};
  return {{source.name("ffn_gate" + base), inner}, {source.name("ffn_up" + base), inner}};
}

}  // namespace

Result<void> MoeBlock::check(const store::ModelConfig& config, const DecoderOptions& options) {
  const store::ExpertConfig& experts = config.experts;
  const auto refused = [&](Code code, std::string what, std::string key) {
    return fail(code, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  if (experts.count == 0) return {};
  if (!options.experts)
    return refused(Code::kUnsupported, "experts are not supported in this architecture",
                   "expert_count");
  if (experts.used < 1 || experts.used > experts.count)
    return refused(Code::kInvalidFile,
                   fmt::format("expected 1 to {} experts for a token, but found {}", experts.count,
                               experts.used),
                   "expert_used_count");
  for (size_t i = 0; i < config.feed_forward.size(); ++i) {
    if (inner_of(config, i) <= 0)
      return refused(Code::kInvalidFile, "the size of experts is missing",
                     "expert_feed_forward_length");
  }
  if (experts.groups <= 1) return {};
  const int each = experts.count / experts.groups;
  if (experts.count % experts.groups != 0 || experts.groups_used < 1 ||
      experts.groups_used > experts.groups || each * experts.groups_used < experts.used)
    return refused(Code::kInvalidFile,
                   fmt::format("{} experts cannot be chosen from {} of {} groups of {}",
                               experts.used, experts.groups_used, experts.groups, experts.count),
                   "expert_group_used_count");
  return {};
}

Result<std::unique_ptr<MoeBlock>> MoeBlock::load(const LayerSource& source, nn::Backend& backend) {
  std::unique_ptr<MoeBlock> block(new MoeBlock(backend, source.options));
  RETURN_IF_ERROR(block->load_experts(source));
  RETURN_IF_ERROR(block->load_shared(source));
  return block;
}

Result<void> MoeBlock::load_experts(const LayerSource& source) {
  WeightLoader& weights = source.weights;
  const store::ModelConfig& config = source.config;
  const int width = config.embedding_length, inner = inner_of(config, source.index()),
            count = config.experts.count;
  weights_.routing = routing_of(config, *source.options.experts);
  weights_.weigh_inputs = source.options.experts->weigh_inputs;
  weights_.gate = activation_;
  weights_.gated = gated_;
  ASSIGN_OR_RETURN(weights_.router, weights.linear({{source.name("ffn_gate_inp"), count}}, width));
  if (const std::string bias = source.name("exp_probs_b") + ".bias"; weights.has(bias)) {
    ASSIGN_OR_RETURN(std::vector<float> values, weights.vector(bias, count));
    weights_.selection_bias = std::move(values);
  }
  if (const std::string factors = source.name("ffn_down_exps.scale"); weights.has(factors)) {
    ASSIGN_OR_RETURN(std::vector<float> values, weights.vector(factors, count));
    weights_.expert_factors = std::move(values);
  }
  if (gated_) {
    ASSIGN_OR_RETURN(weights_.up, weights.experts(gate_up_parts(source, "_exps", inner), count,
                                                  width, nn::Stacking::kGateUp));
  } else {
    ASSIGN_OR_RETURN(weights_.up, weights.experts({{source.name("ffn_up"), inner}}, count, width));
  }
  ASSIGN_OR_RETURN(weights_.down,
                   weights.experts({{source.name("ffn_down"), width}}, count, inner));
  return {};
}

Result<void> MoeBlock::load_shared(const LayerSource& source) {
  if (!source.has("ffn_down_shexp")) return {};
  shared_mean_ = source.config.experts.shared_mean;
  WeightLoader& weights = source.weights;
  const int width = source.config.embedding_length,
            inner = shared_inner_of(source.config, source.index());
  if (gated_) {
    ASSIGN_OR_RETURN(shared_up_, weights.linear(gate_up_parts(source, "_shexp", inner), width,
                                                nn::Stacking::kGateUp));
  } else {
    ASSIGN_OR_RETURN(shared_up_, weights.linear({{source.name("ffn_up_shexp"), inner}}, width));
  }
  ASSIGN_OR_RETURN(shared_down_, weights.linear({{source.name("ffn_down_shexp"), width}}, inner));
  if (source.has("ffn_gate_inp_shexp")) {
    ASSIGN_OR_RETURN(shared_gate_, weights.linear({{source.name("ffn_gate_inp_shexp"), 1}}, width));
  }
  return {};
}

mx::array MoeBlock::run_routed(const mx::array& x, const mx::array& routed_by) {
  if (!has_shared()) return nn::moe(backend_, weights_, x, routed_by);
  mx::array shared =
      gated_ ? nn::feed_forward(backend_, activation_, shared_up_, shared_down_, x)
             : nn::plain_feed_forward(backend_, activation_, shared_up_, shared_down_, x);
  if (shared_gate_.rows > 0)
    shared = nn::gate(backend_, nn::Gate::kSigmoid, nn::linear(backend_, shared_gate_, x), shared);
  const mx::array sum = nn::add(backend_, nn::moe(backend_, weights_, x, routed_by), shared);
  return shared_mean_ ? nn::scale(backend_, sum, 0.5f) : sum;
}

void MoeBlock::add_products(ProductOrder& order) const {
  if (has_shared()) order.insert(order.end(), {&shared_up_, &shared_down_});
  if (shared_gate_.rows > 0) order.push_back(&shared_gate_);
  order.push_back(&weights_.router);
}

}  // namespace pippin::models
