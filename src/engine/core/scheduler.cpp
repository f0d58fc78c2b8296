// The life of a sequence between steps, and what is told of it.
#include "engine/core/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "engine/core/positions.h"
#include "engine/core/recorder.h"
#include "engine/core/submission_check.h"

namespace pippin::engine {
namespace {

SchedulerOptions checked(SchedulerOptions options) {
  CHECK(options.check().ok());
  options.rows_max = std::min(options.rows_max, options.step_tokens_max);
  return options;
}

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

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(checked(options)),
      kv_(options_),
      budget_(options_.step_tokens_max, options_.step_target),
      serial_(options_.serial) {}

Scheduler::~Scheduler() = default;

Result<void> Scheduler::check(const SchedulerOptions& options, const Submission& submission) {
  return check_submission(options, submission);
}

Result<void> Scheduler::submit(SequenceId id, Submission submission) {
  RETURN_IF_ERROR(check(options_, submission));
  if (counters_.queued >= options_.queue_max) {
    return fail(
        Code::kOverloaded,
        fmt::format("[engine] the queue is full: {} requests are waiting", counters_.queued));
  }
  if (recorder_ != nullptr) recorder_->submitted(id, submission);
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->arrival = arrivals_++;
  sequence->tokens = submission.tokens;
  const int64_t room = options_.positions_max() - static_cast<int64_t>(submission.tokens.size());
  sequence->max_tokens = static_cast<int>(std::min<int64_t>(submission.stop.max_tokens, room));
  sequence->submission = std::move(submission);
  if (sequence->submission.deadline) {
    timers_.emplace(*sequence->submission.deadline, id, FinishReason::kTimeout);
  }
  if (!sequence->submission.media.empty() || !sequence->submission.positions.empty())
    mark(*sequence);
  if (options_.prefix_cache) kv_.extend_hashes(*sequence);
  waiting_.insert(sequence.get());
  ++counters_.queued;
  const bool inserted = sequences_.try_emplace(id, std::move(sequence)).second;
  CHECK(inserted, "an id is used once");
  return {};
}

void Scheduler::cancel(SequenceId id, FinishReason reason) {
  Sequence* sequence = find(id);
  if (sequence == nullptr) return;
  if (recorder_ != nullptr) recorder_->cancelled(id, reason);
  finish(*sequence, reason);
}

void Scheduler::pause(SequenceId id, TimePoint now) {
  Sequence* sequence = find(id);
  if (sequence == nullptr || sequence->reader_behind) return;
  if (recorder_ != nullptr) recorder_->paused(id, now);
  sequence->reader_behind = true;
  sequence->paused_until = now + options_.slow_reader_max;
  timers_.emplace(*sequence->paused_until, id, FinishReason::kSlowReader);
  if (sequence->phase == Phase::kActive) {
    leave_lists(*sequence);
    sequence->phase = Phase::kPaused;
    paused_.push_back(sequence);
  }
}

void Scheduler::resume(SequenceId id) {
  Sequence* sequence = find(id);
  if (sequence == nullptr || !sequence->reader_behind) return;
  if (recorder_ != nullptr) recorder_->resumed(id);
  end_pause(*sequence);
}

void Scheduler::serialise() {
  if (std::exchange(serial_, true)) return;
  if (recorder_ != nullptr) recorder_->serialised();
}

bool Scheduler::resize(std::span<const int> blocks) {
  if (blocks.size() != options_.kv.groups.size()) return false;
  SchedulerOptions resized = options_;
  bool shrinks = false;
  for (size_t i = 0; i < blocks.size(); ++i) {
    KvGroupPlan& group = resized.kv.groups[i];
    if (blocks[i] <= 0 || blocks[i] > group.blocks) return false;
    shrinks |= blocks[i] < kv_.group(i).pool().total();
    group.blocks = blocks[i];
  }
  if (!resized.check().ok() || resized.positions_max() < options_.positions_max()) return false;
  const bool idle = active_.empty() && paused_.empty() && copy_sources_.empty() &&
                    ended_blocks_.empty() && steps_under_way_ == 0;
  if (shrinks && !idle) return false;
  kv_.resize(blocks);
  if (recorder_ != nullptr) recorder_->resized(blocks);
  return true;
}

void Scheduler::end_pause(Sequence& sequence) {
  if (!sequence.reader_behind) return;
  sequence.reader_behind = false;
  timers_.erase({*sequence.paused_until, sequence.id, FinishReason::kSlowReader});
  sequence.paused_until.reset();
}

Sequence* Scheduler::find(SequenceId id) {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

void Scheduler::activate(Sequence& sequence) {
  sequence.phase = Phase::kActive;
  sequence.last_turn = ++turns_;
  active_.insert(std::upper_bound(active_.begin(), active_.end(), &sequence, ComesFirst()),
                 &sequence);
}

/// Takes a sequence out of the list of its phase.
void Scheduler::leave_lists(Sequence& sequence) {
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

void Scheduler::finish(Sequence& sequence, FinishReason reason, Error error) {
  const bool failed = reason == FinishReason::kError;
  FinishEvent event;
  event.reason = reason;
  event.prompt_tokens = sequence.prompt_tokens();
  event.cached_tokens = sequence.cached_tokens;
  event.completion_tokens = sequence.generated();
  event.error = std::move(error);
  events_.push_back({sequence.id, std::move(event)});

  if (sequence.submission.deadline) {
    timers_.erase({*sequence.submission.deadline, sequence.id, FinishReason::kTimeout});
  }
  end_pause(sequence);
  leave_lists(sequence);
  if (steps_under_way_ > 0 && sequence.planned > 0) {
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

std::optional<TimePoint> Scheduler::next_timer() const {
  if (timers_.empty()) return std::nullopt;
  return std::get<TimePoint>(*timers_.begin());
}

const Submission& Scheduler::submission(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found != sequences_.end()) return found->second->submission;
  const auto ended = std::find_if(ended_.begin(), ended_.end(),
                                  [id](const auto& sequence) { return sequence->id == id; });
  CHECK(ended != ended_.end(), "no such sequence");
  return (*ended)->submission;
}

SchedulerStatus Scheduler::status() const {
  SchedulerStatus status = counters_;
  status.running = static_cast<int>(active_.size());
  status.waiting = static_cast<int>(waiting_.size());
  status.paused = static_cast<int>(paused_.size());
  status.kv = kv_.status();
  return status;
}

std::vector<SequenceStatus> Scheduler::sequences() const {
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

Result<void> Scheduler::check_integrity() const {
  std::vector<const Sequence*> holders, others;
  for (const auto& [id, sequence] : sequences_)
    (sequence->phase == Phase::kWaiting ? others : holders).push_back(sequence.get());
  std::vector<const BlockLease*> held;
  for (const auto* leases : {&copy_sources_, &ended_blocks_})
    for (const BlockLease& lease : *leases) held.push_back(&lease);
  RETURN_IF_ERROR(kv_.check_integrity(holders, others, held));
  if (sequences_.size() != waiting_.size() + active_.size() + paused_.size())
    return fail(Code::kInternal, "[scheduler] a sequence is in no list, or in two");
  return {};
}

}  // namespace pippin::engine
