// The planning of a step: who ends, who comes back, and whose step it is.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/core/positions.h"
#include "engine/core/recorder.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {

StepPlan Scheduler::next(TimePoint now) {
  CHECK(steps_under_way_ == 0, "next() follows commit()");
  steps_under_way_ = 1;
  planned_at_ = now;
  StepPlan plan;
  plan.rows.reserve(active_.size() + 1);
  expire(now);
  rejoin_readers();
  preempt_for_priority();
  plan_rows(plan);
  plan.released = std::exchange(released_, {});
  if (!plan.rows.empty()) plan.step = ++counters_.steps;
  if (recorder_ != nullptr) recorder_->planned(plan, now);
  return plan;
}

/// Says whether a sequence shares no step: because it must not, or because what it cannot be cut
/// into leaves no room for others.
bool Scheduler::is_exclusive(const Sequence& sequence) const {
  return serial_ || sequence.submission.alone ||
         least_tokens(sequence) > std::max(1, options_.step_tokens_max - options_.rows_max);
}

/// Gives the step to one sequence that must share none, or to all others.
void Scheduler::plan_rows(StepPlan& plan) {
  const bool others = std::any_of(active_.begin(), active_.end(), [this](const Sequence* sequence) {
    return !is_exclusive(*sequence);
  });
  const bool exclusive = serial_ || !last_step_was_exclusive_ || !others;
  last_step_was_exclusive_ = exclusive && plan_exclusive(plan);
  if (!last_step_was_exclusive_ && !serial_) plan_decodes(plan);
  admit_waiting(plan);
  if (!last_step_was_exclusive_ && !serial_) plan_prefills(plan, prefill_budget(plan));
  if (plan.rows.empty()) last_step_was_exclusive_ = plan_exclusive(plan);
}

/// Returns: the sequence that has waited longest for a step of its own, null if none needs one.
Sequence* Scheduler::next_exclusive() const {
  Sequence* next = nullptr;
  for (Sequence* sequence : active_) {
    if (!is_exclusive(*sequence)) continue;
    if (next == nullptr || sequence->last_turn < next->last_turn) next = sequence;
  }
  return next;
}

/// Plans the one row of a step. Prompts go in whole chunks and answers token by token, even those
/// that are computed again.
/// Returns: false if no sequence needs a step for itself.
bool Scheduler::plan_exclusive(StepPlan& plan) {
  while (Sequence* sequence = next_exclusive()) {
    const int prompt_left = sequence->prompt_tokens() - sequence->computed;
    const int tokens = prompt_left > 0 ? std::min(prompt_left, options_.step_tokens_max) : 1;
    if (!grow(*sequence, tokens)) continue;  // it left active_ itself
    add_row(plan, *sequence, row_end(*sequence, sequence->computed + tokens) - sequence->computed);
    sequence->last_turn = ++turns_;
    return true;
  }
  return false;
}

void Scheduler::expire(TimePoint now) {
  while (!timers_.empty() && std::get<TimePoint>(*timers_.begin()) <= now) {
    const auto [when, id, reason] = *timers_.begin();
    finish(*find(id), reason);  // also removes its timers
  }
}

/// Paused sequences whose readers caught up go before new ones: they hold blocks already.
void Scheduler::rejoin_readers() {
  std::vector<Sequence*> ready;
  for (Sequence* sequence : paused_) {
    if (!sequence->reader_behind) ready.push_back(sequence);
  }
  std::sort(ready.begin(), ready.end(), ComesFirst());
  for (Sequence* sequence : ready) {
    if (static_cast<int>(active_.size()) >= options_.rows_max) return;
    leave_lists(*sequence);
    activate(*sequence);
  }
}

/// Makes room for the head of the queue while sequences of a lower priority are in its way.
void Scheduler::preempt_for_priority() {
  if (waiting_.empty()) return;
  Sequence& head = **waiting_.begin();
  const auto has_lower_priority = [&](const Sequence* other) {
    return other != nullptr && other->submission.priority < head.submission.priority;
  };
  if (head.reader_behind || !has_lower_priority(last_in_turn()) || waits_for_prefix(head)) return;
  const PrefixMatch match = look_up(head);
  const auto has_room = [&] {
    return static_cast<int>(active_.size()) < options_.rows_max && kv_.fits(head, match, active_);
  };
  while (!has_room() && has_lower_priority(last_in_turn())) preempt(*last_in_turn());
}

/// Adds a row with its blocks; the caller says what it computes.
PlanRow& Scheduler::new_row(StepPlan& plan, Sequence& sequence, int start, int end) {
  PlanRow& row = plan.rows.emplace_back();
  row.sequence = sequence.id;
  row.start = start;
  const Submission& submission = sequence.submission;
  if (!submission.positions.empty()) append_positions(sequence, start, end, row.positions);
  for (const MediaSpan& media : submission.media) {
    const int first = std::max(start, media.begin), last = std::min(end, media.begin + media.count);
    if (media.both_ways && first < last) row.spans.push_back({first, last - first});
  }
  kv_.plan_row(sequence, start, end, row, plan);
  return row;
}

void Scheduler::add_row(StepPlan& plan, Sequence& sequence, int tokens) {
  const int end = sequence.computed + tokens;
  const std::vector<Token> drafts = std::exchange(sequence.drafts, {});
  const int drafted = static_cast<int>(drafts.size());
  PlanRow& row = new_row(plan, sequence, sequence.computed, end + drafted);
  const auto begin = sequence.tokens.begin() + sequence.computed;
  row.tokens.reserve(static_cast<size_t>(tokens + drafted));
  row.tokens.assign(begin, begin + tokens);
  row.tokens.insert(row.tokens.end(), drafts.begin(), drafts.end());
  row.drafts = drafted;
  const bool last = end == sequence.length();
  row.pool = last && sequence.submission.pooling != Pooling::kNone;
  row.sample = last && !row.pool;
  row.generated = sequence.generated();
  row.first = std::exchange(sequence.first_row, false);
  introduce(plan, sequence);
  sequence.planned = tokens + drafted;
}

/// Has the runner told of a sequence before it first hears of it.
void Scheduler::introduce(StepPlan& plan, Sequence& sequence) {
  if (std::exchange(sequence.known_to_runner, true)) return;
  plan.admitted.push_back(sequence.id);
}

}  // namespace pippin::engine
