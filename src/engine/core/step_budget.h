// StepBudget: how many tokens a step may hold, so that it takes about a wanted time on this device.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include "base/clock.h"

namespace pippin::engine {

class StepBudget {
 public:
  /// A target of zero means a fixed budget of tokens_max.
  /// Requires: tokens_max > 0.
  StepBudget(int tokens_max, Duration target);

  int tokens() const { return tokens_; }

  /// Learns from a finished step. Only steps that used most of the budget say something about its
  /// size.
  void observe(int step_tokens, Duration took);

 private:
  int tokens_max_;
  Duration target_;
  int tokens_;
  double tokens_per_second_ = 0;  // exponentially weighted; 0 = none seen
};

}  // namespace pippin::engine
