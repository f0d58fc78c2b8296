#include "engine/core/row_planner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/core/positions.h"

namespace pippin::engine {

/// Returns the last place up to `end` at which a row may end: not between tokens that see each
/// other. The sequence's own place if there is none.
int RowPlanner::uncut_end(const Sequence& sequence, int end) const {
  if (kv_.empty()) return end < sequence.prompt_tokens() ? sequence.computed : end;
  for (const MediaSpan& media : sequence.submission.media) {
    if (media.both_ways && media.begin < end && end < media.begin + media.count)
      return std::max(sequence.computed, media.begin);
  }
  return end;
}

int RowPlanner::least_tokens(const Sequence& sequence) const {
  const int next = sequence.computed + 1;
  if (uncut_end(sequence, next) == next) return 1;
  if (kv_.empty()) return sequence.remaining();
  for (const MediaSpan& media : sequence.submission.media) {
    const int end = media.begin + media.count;
    if (media.begin < next && next < end) return end - sequence.computed;
  }
  return 1;
}

bool RowPlanner::is_exclusive(const Sequence& sequence) const {
  return deterministic_ || sequence.submission.exclusive ||
         least_tokens(sequence) > std::max(1, options_.step_tokens_max - options_.rows_max);
}

int RowPlanner::row_end(const Sequence& sequence, int end) const {
  end = std::min(end, kv_.reach(sequence));
  const int wanted = uncut_end(sequence, kv_.chunk_end(sequence, end));
  return wanted > sequence.computed ? wanted : uncut_end(sequence, end);
}

bool RowPlanner::grow(Sequence& sequence, int tokens) {
  while (!kv_.cover(sequence, sequence.computed + tokens)) {
    Sequence* victim = table_.last_in_turn();
    table_.preempt(*victim);
    if (victim == &sequence) return false;
  }
  return true;
}

/// Adds a row with its blocks; the caller says what it computes.
PlanRow& RowPlanner::new_row(StepPlan& plan, Sequence& sequence, int start, int end) {
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

void RowPlanner::add_row(StepPlan& plan, Sequence& sequence, int tokens) {
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

void RowPlanner::add_async_row(StepPlan& plan, Sequence& sequence, int previous_row) {
  const int start = sequence.length();
  kv_.must_cover(sequence, start + 1);
  PlanRow& row = new_row(plan, sequence, start, start + 1);
  row.tokens = {0};
  row.sample = true;
  row.generated = sequence.generated() + 1;
  row.previous_row = previous_row;
  sequence.planned_async = 1;
}

void RowPlanner::introduce(StepPlan& plan, Sequence& sequence) {
  if (std::exchange(sequence.known_to_runner, true)) return;
  plan.admitted.push_back(sequence.id);
}

}  // namespace pippin::engine
