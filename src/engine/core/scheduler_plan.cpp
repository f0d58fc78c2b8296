// The planning of a step: who ends, who comes back, who decodes, who is admitted, who prefills how
// much.
#include <algorithm>

#include "base/check.h"
#include "engine/core/recorder.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {
namespace {

constexpr int kPrefillTokensMin = 16;  // beside any number of decode rows, so that prompts move on
// With no decode rows nobody waits for a next token, and small steps on a slow device would spend
// their time on reading the weights.
constexpr int kLonePrefillTokensMin = 64;
constexpr int kHeadroomShare = 8;  // at most this part of the pool is kept back for rows that grow
constexpr int kPassedOverMax =
    64;  // sequences at the head of the queue that one step may pass over

}  // namespace

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

std::optional<StepPlan> Scheduler::follow(const StepPlan& plan, TimePoint now) {
  CHECK(steps_under_way_ == 1, "one step may follow the one under way");
  const bool others_wait =
      !waiting_.empty() && static_cast<int>(active_.size()) < options_.rows_max;
  if (plan.rows.empty() || others_wait || active_.size() != plan.rows.size()) return std::nullopt;
  if (!timers_.empty() && std::get<TimePoint>(*timers_.begin()) <= now) return std::nullopt;
  int missing = 0, missing_windows = 0;
  for (const PlanRow& row : plan.rows) {
    const Sequence* sequence = find(row.sequence);
    if (sequence == nullptr || sequence->phase != Phase::kActive || !row.sample)
      return std::nullopt;
    // How many tokens a constraint forces is known only behind the row's own.
    if (sequence->submission.constraint != nullptr) return std::nullopt;
    // The row's own token will be the last one: plan again once it has ended.
    if (sequence->generated() + 1 >= sequence->max_tokens) return std::nullopt;
    missing += blocks_for(sequence->length() + 1) - static_cast<int>(sequence->blocks.size());
    if (windows_) missing_windows += blocks_for(sequence->length() + 1) - sequence->window.size();
  }
  if (missing > pool_.available()) return std::nullopt;
  if (windows_ && missing_windows > windows_->pool().available()) return std::nullopt;

  StepPlan next;
  next.rows.reserve(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Sequence& sequence = *find(plan.rows[i].sequence);
    const size_t blocks = static_cast<size_t>(blocks_for(sequence.length() + 1));
    while (sequence.blocks.size() < blocks) sequence.blocks.push_back(*pool_.acquire());
    if (windows_) cover_windows(sequence, sequence.length() + 1);
    PlanRow& row = next.rows.emplace_back();
    row.sequence = sequence.id;
    row.start = sequence.length();
    row.tokens = {0};
    for (const BlockLease& lease : sequence.blocks) row.blocks.push_back(lease.id());
    if (windows_) windows_->write_ids(sequence.window, sequence.length() + 1, row.window_blocks);
    row.sample = true;
    row.generated = sequence.generated() + 1;
    row.follows = static_cast<int>(i);
    sequence.ahead = 1;
  }
  steps_under_way_ = 2;
  next.released = std::exchange(released_, {});
  next.step = ++counters_.steps;
  if (recorder_ != nullptr) recorder_->planned(next, now);
  return next;
}

/// Gives the step to one sequence that must share none, or to all others.
void Scheduler::plan_rows(StepPlan& plan) {
  const bool others = std::any_of(active_.begin(), active_.end(), [](const Sequence* sequence) {
    return !sequence->submission.alone;
  });
  const bool alone = serial_ || !last_step_was_alone_ || !others;
  last_step_was_alone_ = alone && plan_alone(plan);
  if (!last_step_was_alone_ && !serial_) plan_decodes(plan);
  admit_waiting(plan);
  if (!last_step_was_alone_ && !serial_) plan_prefills(plan, prefill_budget(plan));
  if (plan.rows.empty()) last_step_was_alone_ = plan_alone(plan);
}

/// Returns: the sequence that has waited longest for a step of its own, null if none needs one.
Sequence* Scheduler::next_alone() const {
  Sequence* next = nullptr;
  for (Sequence* sequence : active_) {
    if (!serial_ && !sequence->submission.alone) continue;
    if (next == nullptr || sequence->last_turn < next->last_turn) next = sequence;
  }
  return next;
}

/// Plans the one row of a step. Prompts go in whole chunks and answers token by token, even those
/// that are computed again.
/// Returns: false if no sequence needs a step for itself.
bool Scheduler::plan_alone(StepPlan& plan) {
  while (Sequence* sequence = next_alone()) {
    const int prompt_left = sequence->prompt_tokens() - sequence->computed;
    const int tokens = prompt_left > 0 ? std::min(prompt_left, options_.step_tokens_max) : 1;
    if (!grow(*sequence, tokens)) continue;  // it left active_ itself
    add_row(plan, *sequence, tokens);
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
    return static_cast<int>(active_.size()) < options_.rows_max && fits(head, match);
  };
  while (!has_room() && has_lower_priority(last_in_turn())) preempt(*last_in_turn());
}

void Scheduler::plan_decodes(StepPlan& plan) {
  // Tokens beside one for each row, also for those that this step admits: what constraints have
  // decided goes in as a chunk.
  int spare = options_.step_tokens_max - options_.rows_max;
  for (size_t i = 0; i < active_.size();) {
    Sequence& sequence = *active_[i];
    const bool decodes = sequence.remaining() == 1 + sequence.forced;
    if (decodes && !sequence.submission.alone) {
      const int chunk = std::min(sequence.forced, spare);
      if (!grow(sequence, 1 + chunk)) continue;  // it left active_ itself
      add_row(plan, sequence, 1 + chunk);
      spare -= chunk;
    } else if (windows_ && !sequence.submission.alone && !grow(sequence, 1)) {
      continue;
    }
    ++i;
  }
}

/// Leases the blocks for all of the sequence's tokens, and those of windowed layers for the next
/// ones. Returns: false if a pool has not that many.
bool Scheduler::lease_for(Sequence& sequence, int tokens) {
  const size_t needed = static_cast<size_t>(blocks_for(sequence.length()));
  while (sequence.blocks.size() < needed) {
    std::optional<BlockLease> lease = pool_.acquire();
    if (!lease) return false;
    sequence.blocks.push_back(*std::move(lease));
  }
  return !windows_ || windows_->cover(sequence.window, sequence.computed + tokens);
}

/// Leases blocks of windowed layers that are known to be there.
void Scheduler::cover_windows(Sequence& sequence, int end) {
  const bool covered = windows_->cover(sequence.window, end);
  CHECK(covered, "the window pool was asked before");
}

/// Leases the blocks for the sequence's next tokens, at the cost of those whose turn comes last.
/// Returns: false if that was the sequence itself.
bool Scheduler::grow(Sequence& sequence, int tokens) {
  while (!lease_for(sequence, tokens)) {
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
  release_blocks(sequence);
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

/// Admits in order. Who does not fit holds back those behind, so that a large prompt is not passed
/// by for ever.
void Scheduler::admit_waiting(StepPlan& plan) {
  int passed_over = 0;
  for (auto next = waiting_.begin(); next != waiting_.end() && passed_over < kPassedOverMax;) {
    Sequence& sequence = **next;
    if (static_cast<int>(active_.size()) >= options_.rows_max) return;
    ++next;
    if (sequence.reader_behind || waits_for_prefix(sequence)) {
      ++passed_over;
      continue;
    }
    while (!try_admit(plan, sequence)) {
      // With nothing active no blocks will come back by themselves: slow readers must not hold up
      // the rest.
      if (!active_.empty() || paused_.empty()) return;
      preempt(*last_in_turn());
    }
  }
}

/// Says whether an active sequence is about to compute a block that this one needs too: then it is
/// worth a short wait.
bool Scheduler::waits_for_prefix(const Sequence& sequence) const {
  if (!options_.prefix_cache || sequence.wants_prompt_logprobs()) return false;
  for (const Sequence* other : active_) {
    if (other->remaining() <= 1 || other->names.empty()) continue;
    if (other->submission.priority < sequence.submission.priority) continue;
    const size_t block = static_cast<size_t>(other->computed / options_.block_positions) + 1;
    if (block < sequence.names.size() && block < other->names.size() &&
        other->names[block] == sequence.names[block] && !is_known(sequence.names[block])) {
      return true;
    }
  }
  return false;
}

PrefixMatch Scheduler::look_up(Sequence& sequence) {
  // The log probabilities of a prompt need the logits of all its positions.
  if (!options_.prefix_cache || sequence.wants_prompt_logprobs()) return {};
  extend_names(sequence);
  PrefixMatch match = cache_.match(sequence.names, sequence.tokens);
  if (windows_) windows_->join(match, sequence.names, sequence.tokens);
  return match;
}

bool Scheduler::is_known(const BlockName& name) const {
  return cache_.contains(name) && (!windows_ || windows_->contains(name));
}

/// Says whether the pools hold what the sequence needs beside its match and what the others will
/// soon need.
bool Scheduler::fits(const Sequence& sequence, const PrefixMatch& match) const {
  const int needed = blocks_for(sequence.length()) - static_cast<int>(match.blocks.size());
  if (needed + headroom() > pool_.available()) return false;
  return !windows_ || window_fits(sequence, match);
}

bool Scheduler::window_fits(const Sequence& sequence, const PrefixMatch& match) const {
  int needed = windows_->wanted(match.tokens, sequence.length()) - match.window.held();
  for (const Sequence* other : active_) {
    const int wanted = windows_->wanted(other->computed, other->length());
    needed += std::max(0, wanted - other->window.held());
  }
  return needed + windows_->step_blocks() <= windows_->pool().available();
}

bool Scheduler::try_admit(StepPlan& plan, Sequence& sequence) {
  PrefixMatch match = look_up(sequence);
  const int blocks = blocks_for(sequence.length());
  const int full = static_cast<int>(match.blocks.size());
  if (!fits(sequence, match) && match.partial) {
    // In a tight pool the block to copy from may be the last one left.
    match.tokens -= match.partial->positions;
    match.partial.reset();
    match.window_partial.reset();
  }
  if (!fits(sequence, match)) return false;

  sequence.blocks = std::move(match.blocks);
  for (int i = full; i < blocks; ++i) sequence.blocks.push_back(*pool_.acquire());
  sequence.computed = match.tokens;
  sequence.recorded = full * options_.block_positions;
  sequence.window = std::move(match.window);
  if (match.partial) take_copy(plan, sequence, match);
  if (windows_) {
    windows_->release_unseen(sequence.window, sequence.computed);
    cover_windows(sequence, sequence.computed + 1);
  }
  if (!sequence.admitted_before) note_first_admission(sequence, match);
  waiting_.erase(&sequence);
  activate(sequence);
  return true;
}

/// Plans the copy of the partly filled block that the sequence goes on from.
void Scheduler::take_copy(StepPlan& plan, Sequence& sequence, PrefixMatch& match) {
  const int positions = match.partial->positions;
  const size_t block = static_cast<size_t>(sequence.recorded / options_.block_positions);
  plan.copies.push_back({match.partial->source.id(), sequence.blocks[block].id(), positions});
  copy_sources_.blocks.push_back(std::move(match.partial->source));
  if (!match.window_partial) return;
  const BlockId to = windows_->append(sequence.window);
  plan.window_copies.push_back({match.window_partial->source.id(), to, positions});
  copy_sources_.window_blocks.push_back(std::move(match.window_partial->source));
}

void Scheduler::note_first_admission(Sequence& sequence, const PrefixMatch& match) {
  sequence.admitted_before = true;
  sequence.cached_tokens = match.tokens;
  sequence.first_difference = match.first_difference;
  sequence.miss = match.miss;
  if (!options_.prefix_cache) {
    sequence.miss = PrefixMiss::kOff;
  } else if (sequence.wants_prompt_logprobs()) {
    sequence.miss = PrefixMiss::kPromptLogprobs;
  }
  --counters_.queued;
  counters_.prompt_tokens += static_cast<uint64_t>(sequence.prompt_tokens());
  if (!options_.prefix_cache) return;
  counters_.prefix_queries += static_cast<uint64_t>(sequence.prompt_tokens());
  counters_.prefix_hits += static_cast<uint64_t>(match.tokens);
}

/// Blocks kept back at admission: the rows at work will soon need one each.
int Scheduler::headroom() const {
  return std::min(static_cast<int>(active_.size()), pool_.total() / kHeadroomShare);
}

int Scheduler::blocks_for(int positions) const {
  return (positions + options_.block_positions - 1) / options_.block_positions;
}

int Scheduler::prefill_budget(const StepPlan& plan) const {
  const int decodes = plan.tokens();
  const int least = decodes == 0 ? kLonePrefillTokensMin : kPrefillTokensMin;
  const int wanted = std::max(budget_.tokens() - decodes, least);
  return std::min(wanted, options_.step_tokens_max - decodes);
}

/// Shares the budget: half of it goes to the prompt whose turn it is, so that none starves; the
/// rest to the one with the least left of the same priority, so that a short prompt passes a long
/// one.
void Scheduler::plan_prefills(StepPlan& plan, int budget) {
  std::vector<std::pair<Sequence*, int>> shares;
  for (Sequence* sequence : active_) {
    if (sequence->planned == 0 && !sequence->submission.alone) shares.emplace_back(sequence, 0);
  }
  if (shares.empty() || budget <= 0) return;
  const auto grant = [&budget](std::pair<Sequence*, int>& share, int at_most) {
    const int tokens = std::min({share.first->remaining() - share.second, at_most, budget});
    share.second += tokens;
    budget -= tokens;
  };
  grant(shares.front(), (budget + 1) / 2);
  std::sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) {
    const auto key = [](const Sequence* s) {
      return std::tuple(-static_cast<int>(s->submission.priority), s->remaining(), s->arrival);
    };
    return key(a.first) < key(b.first);
  });
  for (auto& share : shares) grant(share, budget);
  for (auto& [sequence, tokens] : shares) {
    if (windows_ && tokens > 0) {
      tokens = std::min(tokens, windows_->reach(sequence->window) - sequence->computed);
      cover_windows(*sequence, sequence->computed + tokens);
    }
    if (tokens > 0) add_row(plan, *sequence, tokens);
  }
}

void Scheduler::add_row(StepPlan& plan, Sequence& sequence, int tokens) {
  PlanRow& row = plan.rows.emplace_back();
  row.sequence = sequence.id;
  row.start = sequence.computed;
  const auto begin = sequence.tokens.begin() + sequence.computed;
  row.tokens.assign(begin, begin + tokens);
  const int end = sequence.computed + tokens;
  const size_t blocks = static_cast<size_t>(blocks_for(end));
  row.blocks.resize(blocks);
  for (size_t i = 0; i < blocks; ++i) row.blocks[i] = sequence.blocks[i].id();
  if (windows_) windows_->write_ids(sequence.window, end, row.window_blocks);
  row.sample = end == sequence.length();
  row.generated = sequence.generated();
  row.first = std::exchange(sequence.first_row, false);
  if (!sequence.known_to_runner) {
    sequence.known_to_runner = true;
    plan.admitted.push_back(sequence.id);
  }
  sequence.planned = tokens;
}

}  // namespace pippin::engine
