#include "engine/core/sequence_table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/core/positions.h"

namespace pippin::engine {
namespace {

/// Marks the tokens that do not follow from those before: of media, and where positions jump.
void mark(Sequence& sequence) {
  const Submission& submission = sequence.submission;
  if (!submission.positions.empty()) sequence.position_behind = position_behind(submission);
  std::vector<Token> marked = sequence.tokens;
  for (const MediaSpan& media : submission.media)
    std::fill_n(marked.begin() + media.begin, media.count, -1);
  for (int place = 0; place < sequence.length(); ++place)
    if (jumps(sequence, place)) marked[static_cast<size_t>(place)] = -1;
  if (std::ranges::find(marked, -1) != marked.end()) sequence.marked = std::move(marked);
}

}  // namespace

SequenceTable::SequenceTable(const SchedulerOptions& options, KvGroups& kv)
    : options_(options), kv_(kv) {}

SequenceTable::~SequenceTable() = default;

Sequence& SequenceTable::add(SequenceId id, Submission submission) {
  auto owned = std::make_unique<Sequence>();
  Sequence& sequence = *owned;
  sequence.id = id;
  sequence.arrival = arrivals_++;
  sequence.tokens = submission.tokens;
  const int64_t room = options_.positions_max() - static_cast<int64_t>(submission.tokens.size());
  sequence.max_tokens = static_cast<int>(std::min<int64_t>(submission.stop.max_tokens, room));
  sequence.submission = std::move(submission);
  if (sequence.submission.deadline)
    timers_.emplace(*sequence.submission.deadline, id, FinishReason::kTimeout);
  if (!sequence.submission.media.empty() || !sequence.submission.positions.empty()) mark(sequence);
  if (options_.prefix_cache) kv_.extend_hashes(sequence);
  waiting_.insert(&sequence);
  ++counters_.queued;
  const bool inserted = sequences_.try_emplace(id, std::move(owned)).second;
  CHECK(inserted, "an id is used once");
  return sequence;
}

Sequence* SequenceTable::find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

const Submission& SequenceTable::submission(SequenceId id) const {
  if (const Sequence* live = find(id)) return live->submission;
  const auto ended = std::find_if(ended_.begin(), ended_.end(),
                                  [id](const auto& sequence) { return sequence->id == id; });
  CHECK(ended != ended_.end(), "no such sequence");
  return (*ended)->submission;
}

void SequenceTable::leave_list(Sequence& sequence) {
  switch (sequence.phase) {
    case Phase::kWaiting:
      waiting_.erase(&sequence);
      break;
    case Phase::kActive:
      std::erase(active_, &sequence);
      break;
    case Phase::kPaused:
      std::erase(paused_, &sequence);
      break;
  }
}

void SequenceTable::activate(Sequence& sequence) {
  leave_list(sequence);
  sequence.phase = Phase::kActive;
  sequence.last_turn = next_turn();
  active_.insert(std::upper_bound(active_.begin(), active_.end(), &sequence, ComesFirst()),
                 &sequence);
}

void SequenceTable::preempt(Sequence& sequence) {
  CHECK(sequence.planned == 0, "a planned row is not preempted");
  leave_list(sequence);
  kv_.release(sequence, Leaving::kSound);
  sequence.phase = Phase::kWaiting;
  sequence.computed = 0;
  sequence.recorded = 0;
  sequence.jump_forward = 0;
  sequence.first_row = true;
  sequence.prompt_logprobs.clear();
  ++sequence.preemptions;
  ++counters_.preemptions;
  waiting_.insert(&sequence);
}

Sequence* SequenceTable::last_in_turn() const {
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

void SequenceTable::finish(Sequence& sequence, FinishReason reason, Error error) {
  const bool failed = reason == FinishReason::kError;
  FinishEvent event;
  event.reason = reason;
  event.prompt_tokens = sequence.prompt_tokens();
  event.cached_tokens = sequence.cached_tokens;
  event.completion_tokens = sequence.generated();
  event.error = std::move(error);
  tell(sequence, std::move(event));

  if (sequence.submission.deadline)
    timers_.erase({*sequence.submission.deadline, sequence.id, FinishReason::kTimeout});
  reader_caught_up(sequence);
  leave_list(sequence);
  if (sequence.planned > 0) {
    kv_.release(sequence, failed ? Leaving::kFailed : Leaving::kBusy, &ended_blocks_);
  } else {
    kv_.release(sequence, failed ? Leaving::kFailed : Leaving::kSound);
  }
  if (!sequence.admitted_before) --counters_.queued;
  const auto owner = sequences_.find(sequence.id);
  if (sequence.known_to_runner) {
    released_.push_back(sequence.id);
    ended_.push_back(std::move(owner->second));
  }
  sequences_.erase(owner);
}

void SequenceTable::reader_falls_behind(Sequence& sequence, TimePoint now) {
  sequence.reader_behind = true;
  sequence.paused_until = now + options_.slow_reader_max;
  timers_.emplace(*sequence.paused_until, sequence.id, FinishReason::kSlowReader);
  if (sequence.phase != Phase::kActive) return;
  leave_list(sequence);
  sequence.phase = Phase::kPaused;
  paused_.push_back(&sequence);
}

void SequenceTable::reader_caught_up(Sequence& sequence) {
  if (!sequence.reader_behind) return;
  sequence.reader_behind = false;
  timers_.erase({*sequence.paused_until, sequence.id, FinishReason::kSlowReader});
  sequence.paused_until.reset();
}

void SequenceTable::rejoin_readers() {
  std::vector<Sequence*> ready;
  for (Sequence* sequence : paused_) {
    if (!sequence->reader_behind) ready.push_back(sequence);
  }
  std::sort(ready.begin(), ready.end(), ComesFirst());
  for (Sequence* sequence : ready) {
    if (!has_room()) return;
    activate(*sequence);
  }
}

void SequenceTable::expire(TimePoint now) {
  while (!timers_.empty() && std::get<TimePoint>(*timers_.begin()) <= now) {
    const auto [when, id, reason] = *timers_.begin();
    finish(*find(id), reason);  // also removes its timers
  }
}

std::optional<TimePoint> SequenceTable::next_timer() const {
  if (timers_.empty()) return std::nullopt;
  return std::get<TimePoint>(*timers_.begin());
}

void SequenceTable::step_done(size_t released, bool another_runs) {
  if (!another_runs) ended_blocks_.clear();
  ended_.erase(ended_.begin(), ended_.begin() + static_cast<ptrdiff_t>(released));
}

SchedulerStatus SequenceTable::status() const {
  SchedulerStatus status = counters_;
  status.running = static_cast<int>(active_.size());
  status.waiting = static_cast<int>(waiting_.size());
  status.paused = static_cast<int>(paused_.size());
  return status;
}

std::vector<SequenceStatus> SequenceTable::sequences() const {
  std::unordered_map<const Sequence*, int> queue_positions;
  for (const Sequence* sequence : waiting_) {
    const int position = static_cast<int>(queue_positions.size()) + 1;
    queue_positions.emplace(sequence, position);
  }
  std::vector<SequenceStatus> all;
  all.reserve(sequences_.size());
  for (const auto& [id, sequence] : sequences_) {
    SequenceStatus status;
    status.id = id;
    status.phase = sequence->phase;
    status.priority = sequence->submission.priority;
    status.admitted_before = sequence->admitted_before;
    status.prompt_tokens = sequence->prompt_tokens();
    status.cached_tokens = sequence->cached_tokens;
    status.first_difference = sequence->first_difference;
    status.miss = sequence->miss;
    status.computed_tokens = sequence->computed;
    status.generated_tokens = sequence->generated();
    status.max_tokens = sequence->max_tokens;
    status.blocks = sequence->kv.empty() ? 0 : sequence->kv.front().size();
    status.preemptions = sequence->preemptions;
    const auto waits = queue_positions.find(sequence.get());
    if (waits != queue_positions.end()) status.queue_position = waits->second;
    all.push_back(status);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

Result<void> SequenceTable::check_integrity(const std::vector<BlockLease>& held) const {
  std::vector<const Sequence*> holders, others;
  for (const auto& [id, sequence] : sequences_)
    (sequence->phase == Phase::kWaiting ? others : holders).push_back(sequence.get());
  std::vector<const BlockLease*> leases;
  for (const auto* of : {&held, &ended_blocks_})
    for (const BlockLease& lease : *of) leases.push_back(&lease);
  RETURN_IF_ERROR(kv_.check_integrity(holders, others, leases));
  if (sequences_.size() != waiting_.size() + active_.size() + paused_.size())
    return fail(Code::kInternal, "[scheduler] a sequence is in no list, or in two");
  return {};
}

}  // namespace pippin::engine
