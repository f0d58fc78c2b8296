#include "nn/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace pippin::nn::cpu {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

float largest(std::span<const float> values) {
  return *std::max_element(values.begin(), values.end());
}

// In place.
void softmax(std::span<float> values) {
  const float top = largest(values);
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - top);
  for (float& value : values) value /= sum;
}

// The first of the largest values, which is then taken out.
int take_best(std::span<float> values) {
  const auto at = std::max_element(values.begin(), values.end());
  *at = kNever;
  return static_cast<int>(at - values.begin());
}

// How good a group is, by the scores of its experts.
float group_score(std::span<const float> scores, bool by_best) {
  float first = kNever, second = kNever;
  for (const float score : scores) {
    second = std::max(second, std::min(first, score));
    first = std::max(first, score);
  }
  return by_best || scores.size() == 1 ? first : first + second;
}

// Takes out the experts of all groups but the best ones. `of_group`: room for a score of each.
void keep_groups(const RouterSpec& spec, std::span<float> scores, std::span<float> of_group) {
  const auto each = static_cast<size_t>(spec.experts / spec.groups);
  for (size_t g = 0; g < of_group.size(); ++g)
    of_group[g] = group_score(scores.subspan(g * each, each), spec.group_by_best);
  for (int used = 0; used < spec.groups_used; ++used) take_best(of_group);
  for (size_t g = 0; g < of_group.size(); ++g)
    if (of_group[g] != kNever) std::ranges::fill(scores.subspan(g * each, each), kNever);
}

void sparse_mixer(const RouterSpec& spec, std::span<const float> logits, std::span<float> left,
                  int32_t* chosen, float* weights) {
  std::ranges::copy(logits, left.begin());
  for (int rank = 0; rank < spec.used; ++rank) {
    const float top = largest(left);
    float sum = 0;
    for (size_t e = 0; e < left.size(); ++e) {
      const bool far = top - logits[e] > spec.closeness * std::max(std::abs(logits[e]), top);
      if (!far) sum += std::exp(left[e] - top);
    }
    weights[rank] = 1 / sum;
    chosen[rank] = take_best(left);
  }
}

// Leaves the scores in `scores`, unless they are of the chosen ones alone.
void choose(const RouterSpec& spec, std::span<const float> logits, const float* selection_bias,
            std::span<float> scores, std::span<float> choice, std::span<float> of_group,
            int32_t* chosen) {
  std::ranges::copy(logits, scores.begin());
  if (spec.scores == RouterScores::kSoftmax) softmax(scores);
  if (spec.scores == RouterScores::kSigmoid)
    for (float& score : scores) score = 1 / (1 + std::exp(-score));
  // Logits are in the order of their scores, and differ where those have rounded to one number.
  const bool by_logits = selection_bias == nullptr && spec.groups == 1;
  std::ranges::copy(by_logits ? logits : std::span<const float>(scores), choice.begin());
  if (selection_bias != nullptr)
    for (size_t e = 0; e < choice.size(); ++e) choice[e] += selection_bias[e];
  if (spec.groups > 1) keep_groups(spec, choice, of_group);
  for (int rank = 0; rank < spec.used; ++rank) chosen[rank] = take_best(choice);
}

}  // namespace

void route(const RouterSpec& spec, const float* logits, const float* selection_bias,
           int32_t* chosen, float* weights, std::vector<float>& scratch) {
  const auto experts = static_cast<size_t>(spec.experts), used = static_cast<size_t>(spec.used),
             groups = static_cast<size_t>(spec.groups);
  scratch.resize(std::max(scratch.size(), 2 * experts + groups));
  const std::span<float> scores(scratch.data(), experts), choice(scores.end(), experts),
      of_group(choice.end(), groups);
  if (spec.scores == RouterScores::kSparseMixer) {
    sparse_mixer(spec, {logits, experts}, choice, chosen, weights);
  } else {
    choose(spec, {logits, experts}, selection_bias, scores, choice, of_group, chosen);
    for (size_t r = 0; r < used; ++r) weights[r] = scores[static_cast<size_t>(chosen[r])];
    if (spec.scores == RouterScores::kSelectedSoftmax) softmax({weights, used});
  }
  float factor = spec.scale;
  if (spec.normalise) {
    float sum = 0;
    for (size_t r = 0; r < used; ++r) sum += weights[r];
    factor /= std::max(sum, kWeightSumLeast);
  }
  for (size_t r = 0; r < used; ++r) weights[r] *= factor;
}

}  // namespace pippin::nn::cpu
