// RouterSpec: how a mixture of experts chooses experts for a token, and weighs what they give.
// Thread: any.
#pragma once

#include <cstdint>

namespace pippin::nn {

/// How the router's logits become weights.
enum class RouterScores : uint8_t {
  kSoftmax,          // over all experts
  kSigmoid,          // of each expert alone
  kSelectedSoftmax,  // over the chosen experts only
  /// Phi MoE: of the k-th choice, its share of a softmax over those not chosen before it whose
  /// logits come close to its own. Source: Liu et al., GRIN: Gradient-Informed MoE, 2024.
  kSparseMixer,
};

/// The experts with the largest scores are chosen, the lower index first where they are equal.
struct RouterSpec {
  RouterScores scores = RouterScores::kSoftmax;
  int experts = 0, used = 0;  // used <= experts
  /// > 1: only experts of the best `groups_used` groups are chosen. Groups are neighbours, of
  /// `experts / groups` each; a group is as good as its two best experts together.
  int groups = 1, groups_used = 1;
  bool group_by_best = false;  // a group is as good as its best expert
  bool normalise = false;      // weights are divided by their sum
  float scale = 1;             // of the weights, last
  float closeness = 0;         // kSparseMixer: |difference| / |logit| of close ones, at most
};

/// Weights whose sum is smaller are divided by this.
inline constexpr float kWeightSumLeast = 1e-20f;

}  // namespace pippin::nn
