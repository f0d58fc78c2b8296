// The faults that a simulation is given on purpose.
#include <algorithm>
#include <optional>

#include "sim/simulation.h"

namespace pippin::engine {

struct SchedulerTamper {
  static std::optional<BlockLease> lease(Scheduler& scheduler, size_t group) {
    return scheduler.kv_.group(group).pool().acquire();
  }
};

namespace testing {
namespace {

constexpr int kStepsBeforePlant = 50;

}  // namespace

/// Puts a fault into a plan, as soon as one has what it takes.
void Simulation::plant(StepPlan& plan) {
  if (planted_ || static_cast<int>(tally_.steps) < kStepsBeforePlant) return;
  const auto first_group = [&](auto&& wanted) {
    size_t g = 0;
    while (g < options_.kv.groups.size() && !wanted(options_.kv.groups[g].kind)) ++g;
    return g;
  };
  const auto is_state = [](KvKind kind) { return kind == KvKind::kState; };
  const auto is_attention = [](KvKind kind) {
    return kind != KvKind::kState && kind != KvKind::kCross;
  };
  const size_t attention = first_group(is_attention);
  const bool attends = attention < options_.kv.groups.size();
  if (plant_ == Plant::kLeakedBlock || plant_ == Plant::kLeakedState) {
    const bool leaks_state = plant_ == Plant::kLeakedState;
    const size_t g = leaks_state ? first_group(is_state) : attention;
    if (g < options_.kv.groups.size()) leak_ = SchedulerTamper::lease(scheduler_, g);
    planted_ = leak_.has_value();
  } else if (plant_ == Plant::kWrongBlock && attends && plan.rows.size() > 1) {
    if (plan.rows[1].start == 0 || plan.rows[1].kv[attention][0] < 0) return;
    plan.rows[1].kv[attention][0] = plan.rows[0].kv[attention].back();
    planted_ = true;
  } else if (plant_ == Plant::kEarlyReturn) {
    const size_t g = first_group([](KvKind kind) { return kind == KvKind::kSliding; });
    if (g == options_.kv.groups.size()) return;
    for (PlanRow& row : plan.rows) {
      const int before = row.start / options_.kv.block_positions - 1;
      if (planted_ || options_.kv.groups[g].window <= options_.kv.block_positions || before < 0)
        continue;
      row.kv[g][static_cast<size_t>(before)] = -1;
      planted_ = true;
    }
  } else if (plant_ == Plant::kWrongCheckpoint) {
    planted_ = plant_copy(plan, true);
  } else if (plant_ == Plant::kLongMatch) {
    planted_ = plant_copy(plan, false);
  } else if (plant_ == Plant::kWrongInput) {
    const size_t g = first_group([](KvKind kind) { return kind == KvKind::kCross; });
    if (g == options_.kv.groups.size()) return;
    for (PlanRow& row : plan.rows) {
      if (planted_ || row.kv[g][0] == plan.rows[0].kv[g][0]) continue;
      row.kv[g][0] = plan.rows[0].kv[g][0];
      planted_ = true;
    }
  }
}

/// Leaves out a copy that a row of this plan goes on from.
bool Simulation::plant_copy(StepPlan& plan, bool state) {
  for (size_t i = 0; i < plan.copies.size(); ++i) {
    const BlockCopy& copy = plan.copies[i];
    if ((copy.positions == 0) != state || !runner_.changes(copy)) continue;
    const auto goes_on = [&](const PlanRow& row) {
      const BlockTable& table = row.kv[static_cast<size_t>(copy.group)];
      return std::find(table.begin(), table.end(), copy.to) != table.end();
    };
    if (std::none_of(plan.rows.begin(), plan.rows.end(), goes_on)) continue;
    plan.copies.erase(plan.copies.begin() + static_cast<ptrdiff_t>(i));
    return true;
  }
  return false;
}

/// Makes a sequence wait for ever, as if its reader's resume() had been lost.
void Simulation::starve() {
  if (planted_ || plant_ != Plant::kStarvedRow) return;
  for (const auto& [id, preemptions] : active_before_) {
    const Client& client = *clients_.at(id);
    if (client.was_full || client.cancels_at_step >= 0 || client.submission.deadline) continue;
    scheduler_.pause(id, clock_.now() + std::chrono::hours(1));
    planted_ = true;
    return;
  }
}

/// Says whether the fault is that this event is lost.
bool Simulation::swallows(const Event& event) {
  if (planted_ || static_cast<int>(tally_.steps) < kStepsBeforePlant) return false;
  planted_ = (plant_ == Plant::kLostEvent && std::holds_alternative<TokenEvent>(event)) ||
             (plant_ == Plant::kLostEnd && std::holds_alternative<FinishEvent>(event));
  return planted_;
}

}  // namespace testing
}  // namespace pippin::engine
