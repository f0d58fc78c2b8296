// StepStats: times each sequence on its way through the engine and fills the engine's metrics.
// Owner: the engine. Thread: one at a time.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "engine/core/scheduler.h"
#include "engine/core/types.h"
#include "engine/metrics.h"

namespace pippin::engine {

class StepStats {
 public:
  /// Requires: `metrics` outlives it.
  explicit StepStats(EngineMetrics& metrics) : metrics_(metrics) {}

  void submitted(SequenceId id, TimePoint at) { times_[id].submitted = at; }
  /// Notes the sequences whose first row is in a plan.
  void planned(const StepPlan& plan, TimePoint now);
  /// Notes a step that has run, and what came of it.
  void ran(const StepPlan& plan, TimePoint began, TimePoint now);
  void came(const std::vector<SequenceEvent>& events, TimePoint now);
  /// Returns how many tokens the last answers had, on average.
  double answer_tokens() const { return answer_tokens_; }
  /// Returns how long so many tokens take at the speed of the last steps; zero before any step.
  Duration time_for(double tokens) const;
  /// Fills in the times of a live sequence.
  void tell(SequenceStatus& status) const;

 private:
  struct Times {
    TimePoint submitted{};
    std::optional<TimePoint> admitted, first_token;
    TimePoint last_token{};
    int tokens = 0;
  };

  void token_came(Times& times, TimePoint now);
  void ended(const Times& times, const FinishEvent& event, TimePoint now);

  EngineMetrics& metrics_;
  double recent_tokens_ = 0, recent_seconds_ = 0;  // of the last steps, the older ones fading
  double answer_tokens_ = 0;
  std::unordered_map<SequenceId, Times> times_;
};

}  // namespace pippin::engine
