// BiasedRunner: a device that is wrong under a condition, to see that the self-checks find it.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "engine/core/runner.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {

/// A runner whose tokens are off by one where a plan's row meets a condition.
class BiasedRunner final : public Runner {
 public:
  using Condition = std::function<bool(const StepPlan& plan, const PlanRow& row)>;
  explicit BiasedRunner(Condition condition) : condition_(std::move(condition)) {}

  void admit(SequenceId id, const Submission& submission) override {
    submissions_[id] = &submission;
  }

  /// Tokens are a hash of the sequence's own history; the bias is not part of the history.
  StepOutput run(const StepPlan& plan) override {
    StepOutput output;
    output.step = plan.step;
    for (const PlanRow& row : plan.rows) {
      RowOutput& out = output.rows.emplace_back();
      out.sampled = row.sample;
      if (!row.sample) continue;
      out.token = fake_choice(mix(submissions_.at(row.sequence)->tokens[0]),
                              *submissions_.at(row.sequence), row.generated);
      if (condition_ && condition_(plan, row)) ++out.token;
    }
    return output;
  }

 private:
  Condition condition_;
  std::map<SequenceId, const Submission*> submissions_;
};

}  // namespace pippin::engine::testing
