// The faults that a simulation is given on purpose.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "engine/sim/faulty_groups.h"
#include "engine/sim/simulation.h"

namespace pippin::engine {

struct SchedulerTamper {
  static std::optional<BlockLease> lease(Scheduler& scheduler, size_t group) {
    return scheduler.kv_.group(group).pool().acquire();
  }
  /// Puts a manager of another make in a group's place.
  template <typename Group>
  static void replace(Scheduler& scheduler, size_t group, const KvGroupPlan& plan, bool& planted) {
    KvGroups& kv = scheduler.kv_;
    kv.groups_[group] = std::make_unique<Group>(plan, kv.limits_, static_cast<int>(group), planted);
  }
  static void forget_spans(Scheduler& scheduler, SequenceId id) {
    for (MediaSpan& media : scheduler.table_.find(id)->submission.media) media.both_ways = false;
  }
};

namespace testing {
namespace {

constexpr int kStepsBeforePlant = 50;

/// The kind of group that a fault is in; none where any attention or none will do.
std::optional<KvKind> kind_of(Plant plant) {
  switch (plant) {
    case Plant::kEarlyReturn:
      return KvKind::kSliding;
    case Plant::kEarlyChunkReturn:
      return KvKind::kChunked;
    case Plant::kLongMatch:
      return KvKind::kFull;
    case Plant::kLeakedState:
    case Plant::kLostStateCopy:
    case Plant::kLongStateMatch:
    case Plant::kWrongCheckpoint:
    case Plant::kSkippedRollback:
      return KvKind::kState;
    case Plant::kWrongInput:
    case Plant::kLeakedInput:
      return KvKind::kCross;
    default:
      return std::nullopt;
  }
}

size_t group_of(const KvPlan& kv, KvKind kind) {
  return static_cast<size_t>(kv.group(kind) - kv.groups.data());
}

}  // namespace

bool Simulation::can_plant() const {
  const std::optional<KvKind> kind = kind_of(plant_);
  return !kind || options_.kv.group(*kind) != nullptr;
}

/// Puts a faulty manager in a group's place, where the fault is in one.
void Simulation::sabotage() {
  if (!kind_of(plant_) || !can_plant()) return;
  const size_t g = group_of(options_.kv, *kind_of(plant_));
  const KvGroupPlan& plan = options_.kv.groups[g];
  if (plant_ == Plant::kEarlyReturn || plant_ == Plant::kEarlyChunkReturn)
    SchedulerTamper::replace<ShortSightedGroup>(scheduler_, g, plan, planted_);
  if (plant_ == Plant::kLongMatch)
    SchedulerTamper::replace<LongAttentionGroup>(scheduler_, g, plan, planted_);
  if (plant_ == Plant::kLongStateMatch)
    SchedulerTamper::replace<LongStateGroup>(scheduler_, g, plan, planted_);
  if (plant_ == Plant::kWrongCheckpoint)
    SchedulerTamper::replace<LateCheckpointGroup>(scheduler_, g, plan, planted_);
  if (plant_ == Plant::kSkippedRollback)
    SchedulerTamper::replace<UnrolledGroup>(scheduler_, g, plan, planted_);
  if (plant_ == Plant::kLeakedInput)
    SchedulerTamper::replace<LeakingCrossGroup>(scheduler_, g, plan, planted_);
}

/// Puts a fault into a plan, as soon as one has what it takes.
void Simulation::plant(StepPlan& plan) {
  if (planted_ || !can_plant() || static_cast<int>(tally_.steps) < kStepsBeforePlant) return;
  const auto is_attention = [](const KvGroupPlan& group) {
    return group.kind != KvKind::kState && group.kind != KvKind::kCross;
  };
  const auto& groups = options_.kv.groups;
  const auto attention =
      static_cast<size_t>(std::ranges::find_if(groups, is_attention) - groups.begin());
  const bool attends = attention < groups.size();
  if (plant_ == Plant::kLeakedState || (plant_ == Plant::kLeakedBlock && attends)) {
    const bool of_state = plant_ == Plant::kLeakedState;
    leak_ = SchedulerTamper::lease(scheduler_,
                                   of_state ? group_of(options_.kv, KvKind::kState) : attention);
    planted_ = leak_.has_value();
  } else if (plant_ == Plant::kWrongBlock && attends && plan.rows.size() > 1) {
    if (plan.rows[1].start == 0 || plan.rows[1].kv[attention][0] < 0) return;
    plan.rows[1].kv[attention][0] = plan.rows[0].kv[attention].back();
    planted_ = true;
  } else if (plant_ == Plant::kLostStateCopy || plant_ == Plant::kLostCopy) {
    planted_ = plant_copy(plan, plant_ == Plant::kLostStateCopy);
  } else if (plant_ == Plant::kLostPosition || plant_ == Plant::kLostSpan) {
    planted_ = plant_lost_inputs(plan);
  } else if (plant_ == Plant::kWrongInput) {
    const size_t g = group_of(options_.kv, KvKind::kCross);
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

/// Leaves out the positions, or the spans, of a row that is computed otherwise with them.
bool Simulation::plant_lost_inputs(StepPlan& plan) {
  for (PlanRow& row : plan.rows) {
    if (plant_ == Plant::kLostSpan && !row.spans.empty() && row.spans.front().count > 1) {
      row.spans.clear();
      return true;
    }
    if (plant_ != Plant::kLostPosition || row.positions.empty()) continue;
    const size_t components = row.positions.size() / row.tokens.size();
    for (size_t i = 0; i < row.positions.size(); ++i) {
      if (row.positions[i] == row.start + static_cast<int>(i / components)) continue;
      row.positions.clear();
      return true;
    }
  }
  return false;
}

/// Makes the scheduler believe that a sequence may be cut anywhere.
void Simulation::forget_spans(SequenceId id) { SchedulerTamper::forget_spans(scheduler_, id); }

/// Notes whose spans are cut, where that is the fault.
void Simulation::see_cut_spans(const StepPlan& plan) {
  if (plant_ != Plant::kCutSpan) return;
  for (const PlanRow& row : plan.rows) {
    const int end = row.start + static_cast<int>(row.tokens.size());
    Client& client = *clients_.at(row.sequence);
    for (const MediaSpan& media : client.submission.media)
      client.cut |= media.both_ways && media.begin < end && end < media.begin + media.count;
  }
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
