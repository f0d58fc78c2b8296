#include "engine/core/step_budget.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace pippin::engine {
namespace {

constexpr int kTokensMin = 16;     // a prefill must move on even on a device that misses the target
constexpr int kTokensFirst = 128;  // before anything is known of the device
constexpr double kNewWeight = 0.3;
constexpr int kGrowthMax = 2;  // per step: one lucky measurement must not make a long step

}  // namespace

StepBudget::StepBudget(int tokens_max, Duration target)
    : tokens_max_(tokens_max),
      target_(target),
      tokens_(target > Duration::zero() ? std::min(tokens_max, kTokensFirst) : tokens_max) {
  CHECK(tokens_max > 0);
}

void StepBudget::observe(int step_tokens, Duration took) {
  if (target_ <= Duration::zero() || took <= Duration::zero()) return;
  if (step_tokens * 4 < tokens_ * 3) return;
  using Seconds = std::chrono::duration<double>;
  const double rate = step_tokens / Seconds(took).count();
  tokens_per_second_ =
      tokens_per_second_ == 0 ? rate : (1 - kNewWeight) * tokens_per_second_ + kNewWeight * rate;
  const double wanted = tokens_per_second_ * Seconds(target_).count();
  const double bounded = std::min(wanted, static_cast<double>(tokens_) * kGrowthMax);
  tokens_ = std::min(tokens_max_, std::max(kTokensMin, static_cast<int>(bounded)));
}

}  // namespace pippin::engine
