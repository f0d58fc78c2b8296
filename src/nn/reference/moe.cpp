// ReferenceBackend: mixtures of experts.
#include <limits>
#include <utility>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

mx::array never() { return mx::array(-std::numeric_limits<float>::infinity()); }

// The first k columns.
mx::array first_columns(const mx::array& x, int k) {
  return mx::slice(x, mx::Shape{0, 0}, mx::Shape{x.shape(0), k});
}

// The indices of the k largest of each row, best first; of equal ones the lower index, since the
// sort is stable.
mx::array best(const mx::array& scores, int k) {
  return first_columns(mx::argsort(mx::negative(scores), -1), k);
}

// Scores of experts [T, E], with -inf for those whose group is not among the best.
mx::array within_groups(const RouterSpec& spec, const mx::array& scores) {
  const int tokens = scores.shape(0), each = spec.experts / spec.groups;
  const mx::array grouped = mx::reshape(scores, {tokens, spec.groups, each});
  const mx::array of_group = spec.group_by_best || each == 1
                                 ? mx::max(grouped, -1)
                                 : mx::sum(mx::topk(grouped, 2, -1), -1);
  // The place of each group among them, so that equal ones go by their index.
  const mx::array place = mx::argsort(mx::argsort(mx::negative(of_group), -1), -1);
  const mx::array in = mx::less(mx::astype(place, mx::int32), mx::array(spec.groups_used));
  return mx::reshape(mx::where(mx::expand_dims(in, -1), grouped, never()), {tokens, spec.experts});
}

struct Routes {
  mx::array experts;  // [T, k]
  mx::array weights;  // [T, k] f32
};

Routes sparse_mixer(const RouterSpec& spec, const mx::array& logits) {
  const mx::array experts = best(logits, spec.used);
  std::vector<mx::array> weights;
  mx::array left = logits;
  for (int rank = 0; rank < spec.used; ++rank) {
    const mx::array chosen =
        mx::slice(experts, mx::Shape{0, rank}, mx::Shape{experts.shape(0), rank + 1});
    const mx::array top = mx::take_along_axis(logits, chosen, 1);
    const mx::array far =
        mx::greater(mx::subtract(top, logits),
                    mx::multiply(mx::array(spec.closeness), mx::maximum(mx::abs(logits), top)));
    const mx::array shares = mx::softmax(mx::where(far, never(), left), -1, true);
    weights.push_back(mx::take_along_axis(shares, chosen, 1));
    left = mx::put_along_axis(left, chosen, never(), 1);
  }
  return {experts, mx::concatenate(weights, 1)};
}

Routes weigh(const RouterSpec& spec, const mx::array& logits, const FloatVector& selection_bias) {
  if (spec.scores == RouterScores::kSparseMixer) return sparse_mixer(spec, logits);
  const mx::array scores = spec.scores == RouterScores::kSoftmax   ? mx::softmax(logits, -1, true)
                           : spec.scores == RouterScores::kSigmoid ? mx::sigmoid(logits)
                                                                   : logits;
  // Logits are in the order of their scores, and differ where those have rounded to one number.
  const bool by_logits = selection_bias.empty() && spec.groups == 1;
  mx::array choice = by_logits ? logits : scores;
  if (!selection_bias.empty()) choice = mx::add(choice, selection_bias.array());
  if (spec.groups > 1) choice = within_groups(spec, choice);
  const mx::array experts = best(choice, spec.used);
  const mx::array weights = mx::take_along_axis(scores, experts, 1);
  return {experts,
          spec.scores == RouterScores::kSelectedSoftmax ? mx::softmax(weights, -1, true) : weights};
}

Routes route(const RouterSpec& spec, const mx::array& logits, const FloatVector& selection_bias) {
  Routes routes = weigh(spec, logits, selection_bias);
  if (spec.normalise) {
    const mx::array sum =
        mx::maximum(mx::sum(routes.weights, -1, true), mx::array(kWeightSumLeast));
    routes.weights = mx::divide(routes.weights, sum);
  }
  if (spec.scale != 1.0f) routes.weights = mx::multiply(routes.weights, mx::array(spec.scale));
  return routes;
}

}  // namespace

mx::array ReferenceBackend::expert_linear(const ExpertWeight& weight, const mx::array& x,
                                          const mx::array& experts) {
  const auto& matrices = static_cast<const ExpertMatrices&>(*weight.prepared);
  const mx::array y = matrices.product(x, mx::astype(experts, mx::uint32));
  if (weight.bias.empty()) return y;
  const mx::array biases = mx::reshape(weight.bias.array(dtype_), {weight.experts, weight.rows});
  return mx::add(y, mx::take(biases, experts, 0));
}

mx::array ReferenceBackend::moe(const MoeWeights& weights, const mx::array& x,
                                const mx::array& routed_by) {
  Routes routes = route(weights.routing, mx::astype(linear(weights.router, routed_by), mx::float32),
                        weights.selection_bias);
  if (!weights.expert_factors.empty())
    routes.weights =
        mx::multiply(routes.weights, mx::take(weights.expert_factors.array(), routes.experts, 0));
  const int tokens = x.shape(0), used = weights.routing.used, inner = weights.down.columns;
  const mx::array shares = mx::expand_dims(routes.weights, -1);
  mx::array input = mx::expand_dims(x, 1);
  if (weights.weigh_inputs) input = mx::astype(mx::multiply(input, shares), dtype_);
  const mx::array up = mx::reshape(expert_linear(weights.up, input, routes.experts),
                                   {tokens * used, weights.up.rows});
  const mx::array between =
      weights.gated ? gated_activation(weights.gate, up) : plain_activation(weights.gate, up);
  const mx::array y =
      expert_linear(weights.down, mx::reshape(between, {tokens, used, inner}), routes.experts);
  const mx::array wide = mx::astype(y, mx::float32);
  return mx::astype(mx::sum(weights.weigh_inputs ? wide : mx::multiply(wide, shares), 1), dtype_);
}

}  // namespace pippin::nn
