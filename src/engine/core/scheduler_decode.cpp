// Rows that go on by a token, or by tokens that are known or guessed; and what they do where blocks
// are short.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/core/recorder.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {

void Scheduler::plan_decodes(StepPlan& plan) {
  // Tokens beside one for each row, also for those that this step admits, and beside what a prompt
  // needs that cannot be cut. What constraints have decided goes in as a chunk, and so do guesses.
  int spare = options_.step_tokens_max - options_.rows_max;
  if (const Sequence* first = first_prefill()) spare -= least_tokens(*first) - 1;
  for (size_t i = 0; i < active_.size();) {
    Sequence& sequence = *active_[i];
    if (is_exclusive(sequence)) {
      ++i;
      continue;
    }
    const bool decodes = sequence.remaining() == 1 + sequence.forced;
    const int chunk = decodes ? std::min(sequence.forced, std::max(spare, 0)) : 0;
    const int least = decodes ? 1 + chunk : least_tokens(sequence);
    if (!grow(sequence, least)) continue;  // it left active_ itself
    if (decodes) {
      spare -= chunk;
      spare -= draft(sequence, spare);
      add_row(plan, sequence, 1 + chunk);
    }
    ++i;
  }
}

/// Asks for guesses and makes room for them, at nobody's cost.
/// Returns: the number of tokens guessed.
int Scheduler::draft(Sequence& sequence, int at_most) {
  const Submission& submission = sequence.submission;
  if (submission.drafter == nullptr || submission.constraint != nullptr || serial_ ||
      sequence.remaining() != 1 || sequence.wants_prompt_logprobs())
    return 0;
  // The row gives one token more than it has drafts.
  at_most =
      std::min({at_most, options_.drafts_max, sequence.max_tokens - sequence.generated() - 1});
  if (at_most <= 0) return 0;
  std::vector<Token> drafts = submission.drafter->propose(sequence.tokens, at_most);
  if (static_cast<int>(drafts.size()) > at_most) drafts.resize(static_cast<size_t>(at_most));
  if (drafts.empty()) return 0;
  if (recorder_ != nullptr) recorder_->drafted(sequence.id, drafts);
  const int count = static_cast<int>(drafts.size());
  if (!kv_.cover(sequence, sequence.length() + count) || !kv_.prepare_drafts(sequence)) return 0;
  sequence.drafts = std::move(drafts);
  return count;
}

/// Leases the blocks for the sequence's next tokens, at the cost of those whose turn comes last.
/// Returns: false if that was the sequence itself.
bool Scheduler::grow(Sequence& sequence, int tokens) {
  while (!kv_.cover(sequence, sequence.computed + tokens)) {
    Sequence* victim = last_in_turn();
    preempt(*victim);
    if (victim == &sequence) return false;
  }
  return true;
}

/// Returns the sequence to preempt first: of the lowest priority, one that is paused if there is
/// one, and then the youngest.
Sequence* Scheduler::last_in_turn() const {
  const auto goes_before = [](const Sequence* a, const Sequence* b) {
    if (a->submission.priority != b->submission.priority) return ComesFirst()(a, b);
    if (a->phase != b->phase) return a->phase == Phase::kActive;
    return a->arrival < b->arrival;
  };
  Sequence* last = active_.empty() ? nullptr : active_.back();
  for (Sequence* sequence : paused_) {
    if (last == nullptr || goes_before(last, sequence)) last = sequence;
  }
  return last;
}

/// Back to the queue without blocks. Its tokens stay: what was generated is computed again as if it
/// were prompt.
void Scheduler::preempt(Sequence& sequence) {
  CHECK(sequence.planned == 0, "a planned row is not preempted");
  leave_lists(sequence);
  kv_.release(sequence, Leaving::kSound);
  sequence.phase = Phase::kWaiting;
  sequence.computed = 0;
  sequence.recorded = 0;
  sequence.forced = 0;
  sequence.first_row = true;
  sequence.prompt_logprobs.clear();
  ++sequence.preemptions;
  ++counters_.preemptions;
  waiting_.insert(&sequence);
}

/// Says whether every row of a plan will go on by one token in the step behind it.
bool Scheduler::can_continue(const StepPlan& plan, TimePoint now) {
  const bool others_wait =
      !waiting_.empty() && static_cast<int>(active_.size()) < options_.rows_max;
  if (plan.rows.empty() || others_wait || active_.size() != plan.rows.size()) return false;
  if (!timers_.empty() && std::get<TimePoint>(*timers_.begin()) <= now) return false;
  std::vector<std::pair<const Sequence*, int>> ends;
  for (const PlanRow& row : plan.rows) {
    const Sequence* sequence = find(row.sequence);
    if (sequence == nullptr || sequence->phase != Phase::kActive || !row.sample) return false;
    // How many tokens a constraint forces, or how many guesses come true, is known only behind the
    // row's own.
    if (sequence->submission.constraint != nullptr || sequence->submission.drafter != nullptr)
      return false;
    // The row's own token will be the last one: plan again once it has ended.
    if (sequence->generated() + 1 >= sequence->max_tokens) return false;
    ends.emplace_back(sequence, sequence->length() + 1);
  }
  return kv_.can_cover(ends);
}

std::optional<StepPlan> Scheduler::next_async(const StepPlan& plan, TimePoint now) {
  CHECK(steps_under_way_ == 1, "one step may be planned ahead of the one under way");
  if (!can_continue(plan, now)) return std::nullopt;
  StepPlan next;
  next.rows.reserve(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Sequence& sequence = *find(plan.rows[i].sequence);
    const int start = sequence.length();
    kv_.must_cover(sequence, start + 1);
    PlanRow& row = new_row(next, sequence, start, start + 1);
    row.tokens = {0};
    row.sample = true;
    row.generated = sequence.generated() + 1;
    row.previous_row = static_cast<int>(i);
    sequence.ahead = 1;
  }
  steps_under_way_ = 2;
  next.released = std::exchange(released_, {});
  next.step = ++counters_.steps;
  if (recorder_ != nullptr) recorder_->planned(next, now);
  return next;
}

}  // namespace pippin::engine
