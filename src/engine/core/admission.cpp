#include "engine/core/admission.h"

#include <utility>

#include "engine/core/row_planner.h"

namespace pippin::engine {
namespace {

constexpr int kPassedOverMax =
    64;  // sequences at the head of the queue that one step may pass over

}  // namespace

void Admission::make_room_for_head() {
  if (table_.waiting().empty()) return;
  Sequence& head = **table_.waiting().begin();
  const auto has_lower_priority = [&](const Sequence* other) {
    return other != nullptr && other->submission.priority < head.submission.priority;
  };
  if (head.reader_behind || !has_lower_priority(table_.last_in_turn()) || waits_for_prefix(head))
    return;
  const PrefixMatch match = look_up(head);
  const auto fits = [&] { return table_.has_room() && kv_.fits(head, match, table_.active()); };
  while (!fits() && has_lower_priority(table_.last_in_turn()))
    table_.preempt(*table_.last_in_turn());
}

void Admission::admit_waiting(StepPlan& plan) {
  int passed_over = 0;
  const SequenceTable::Waiting& waiting = table_.waiting();
  for (auto next = waiting.begin(); next != waiting.end() && passed_over < kPassedOverMax;) {
    Sequence& sequence = **next;
    if (!table_.has_room()) return;
    ++next;
    if (sequence.reader_behind || waits_for_prefix(sequence)) {
      ++passed_over;
      continue;
    }
    while (!try_admit(plan, sequence)) {
      // With nothing active no blocks will come back by themselves: slow readers must not hold up
      // the rest.
      if (!table_.active().empty() || table_.paused().empty()) return;
      table_.preempt(*table_.last_in_turn());
    }
  }
}

/// Says whether an active sequence is about to compute a block that this one needs too: then it is
/// worth a short wait.
bool Admission::waits_for_prefix(const Sequence& sequence) const {
  if (!reuses_prefix(sequence)) return false;
  for (const Sequence* other : table_.active()) {
    if (other->remaining() <= 1 || other->hashes.empty()) continue;
    if (other->submission.priority < sequence.submission.priority) continue;
    const size_t block = static_cast<size_t>(other->computed / options_.kv.block_positions) + 1;
    if (block < sequence.hashes.size() && block < other->hashes.size() &&
        other->hashes[block] == sequence.hashes[block] && !kv_.contains(sequence.hashes[block]))
      return true;
  }
  return false;
}

/// Says whether a sequence may begin with what others computed.
bool Admission::reuses_prefix(const Sequence& sequence) const {
  // The log probabilities of a prompt need the logits of all its positions, and an embedding may be
  // made of all its hidden states.
  return options_.prefix_cache && !sequence.wants_prompt_logprobs() &&
         sequence.submission.pooling == Pooling::kNone;
}

PrefixMatch Admission::look_up(Sequence& sequence) {
  return reuses_prefix(sequence) ? kv_.match(sequence, sequence.length()) : kv_.no_match();
}

bool Admission::try_admit(StepPlan& plan, Sequence& sequence) {
  PrefixMatch match = look_up(sequence);
  // In a tight pool the block to copy from may be the last one left.
  while (match.copies() && !kv_.fits(sequence, match, table_.active())) {
    const int positions = options_.kv.block_positions;
    PrefixMatch shorter = kv_.match(sequence, (match.tokens - 1) / positions * positions);
    shorter.first_difference = match.first_difference;
    shorter.miss = match.miss;
    match = std::move(shorter);
  }
  if (!kv_.fits(sequence, match, table_.active())) return false;

  kv_.admit(sequence, match, plan, copy_sources_);
  const bool encodes = !plan.encodes.empty() && plan.encodes.back().sequence == sequence.id;
  if (encodes) RowPlanner::introduce(plan, sequence);
  if (!sequence.admitted_before) note_first_admission(sequence, match);
  table_.activate(sequence);
  return true;
}

void Admission::note_first_admission(Sequence& sequence, const PrefixMatch& match) {
  sequence.admitted_before = true;
  sequence.cached_tokens = match.tokens;
  sequence.first_difference = match.first_difference;
  sequence.miss = match.miss;
  if (!options_.prefix_cache) {
    sequence.miss = PrefixMiss::kOff;
  } else if (sequence.wants_prompt_logprobs()) {
    sequence.miss = PrefixMiss::kPromptLogprobs;
  } else if (!reuses_prefix(sequence)) {
    sequence.miss = PrefixMiss::kPooled;
  }
  SchedulerStatus& counters = table_.counters();
  --counters.queued;
  counters.prompt_tokens += static_cast<uint64_t>(sequence.prompt_tokens());
  if (!options_.prefix_cache) return;
  counters.prefix_queries += static_cast<uint64_t>(sequence.prompt_tokens());
  counters.prefix_hits += static_cast<uint64_t>(match.tokens);
}

}  // namespace pippin::engine
