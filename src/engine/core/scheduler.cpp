// The life of a sequence between steps, and commit(). The planning of steps is in
// scheduler_plan.cpp.
#include "engine/core/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "engine/core/recorder.h"

namespace pippin::engine {
namespace {

SchedulerOptions checked(SchedulerOptions options) {
  CHECK(options.context_tokens_max > 0 && options.blocks > 0 && options.block_positions > 0);
  CHECK(options.rows_max > 0 && options.queue_max > 0 && options.step_tokens_max > 0);
  CHECK(options.windows_suffice(), "the pool holds a window and a step");
  options.rows_max = std::min(options.rows_max, options.step_tokens_max);
  return options;
}

/// Positions that one sequence can ever hold: the context, or all blocks if those are fewer.
int64_t positions_max(const SchedulerOptions& options) {
  return std::min<int64_t>(options.context_tokens_max,
                           int64_t{options.blocks} * options.block_positions);
}

bool is_stop_token(const StopRules& stop, Token token) {
  return std::find(stop.stop_tokens.begin(), stop.stop_tokens.end(), token) !=
         stop.stop_tokens.end();
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(checked(options)),
      pool_(options_.blocks),
      cache_(pool_, options_.block_positions),
      budget_(options_.step_tokens_max, options_.step_target),
      serial_(options_.serial) {
  if (options_.window_blocks > 0)
    windows_.emplace(options_.window_shape(), options_.window_blocks, options_.step_tokens_max);
}

Scheduler::~Scheduler() = default;

Result<void> Scheduler::check(const SchedulerOptions& options, const Submission& submission) {
  if (submission.tokens.empty()) {
    return fail(Code::kInvalidArgument,
                "[engine] expected a prompt of at least one token, got none", "prompt");
  }
  if (submission.stop.max_tokens <= 0) {
    return fail(Code::kInvalidArgument,
                fmt::format("[engine] expected max_tokens of at least 1, got {}",
                            submission.stop.max_tokens),
                "max_tokens");
  }
  const int64_t prompt = static_cast<int64_t>(submission.tokens.size());
  if (prompt >= options.context_tokens_max) {
    return fail(Code::kContextLength,
                fmt::format("[engine] the context holds {} tokens, prompt and answer together; "
                            "the prompt alone has {}",
                            options.context_tokens_max, prompt),
                "prompt");
  }
  if (prompt >= positions_max(options)) {
    return fail(Code::kContextLength,
                fmt::format("[engine] the memory for keys and values holds {} tokens, prompt and "
                            "answer together; the prompt alone has {}",
                            positions_max(options), prompt),
                "prompt");
  }
  return {};
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
  const int64_t room = positions_max(options_) - static_cast<int64_t>(submission.tokens.size());
  sequence->max_tokens = static_cast<int>(std::min<int64_t>(submission.stop.max_tokens, room));
  sequence->submission = std::move(submission);
  if (sequence->submission.deadline) {
    timers_.emplace(*sequence->submission.deadline, id, FinishReason::kTimeout);
  }
  if (options_.prefix_cache) extend_names(*sequence);
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

/// Gives back the deepest block first, so that a chain is reused from its end and its beginning
/// stays findable for longer.
void Scheduler::release_blocks(Sequence& sequence) {
  while (!sequence.blocks.empty()) sequence.blocks.pop_back();
  sequence.window.clear();
}

void Scheduler::finish(Sequence& sequence, FinishReason reason, Error error) {
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
    std::ranges::move(sequence.blocks, std::back_inserter(ended_blocks_.blocks));
    sequence.blocks.clear();
    auto held = sequence.window.blocks.begin() + sequence.window.first;
    std::move(held, sequence.window.blocks.end(), std::back_inserter(ended_blocks_.window_blocks));
    sequence.window.clear();
  }
  release_blocks(sequence);
  if (!sequence.admitted_before) --counters_.queued;
  const auto owner = sequences_.find(sequence.id);
  if (sequence.known_to_runner) {
    released_.push_back(sequence.id);
    ended_.push_back(std::move(owner->second));
  }
  sequences_.erase(owner);
}

std::vector<SequenceEvent> Scheduler::commit(const StepPlan& plan, StepOutput output,
                                             TimePoint now) {
  CHECK(steps_under_way_ > 0, "commit() follows next()");
  CHECK(output.rows.size() == plan.rows.size(), "one output for each row");
  if (recorder_ != nullptr) recorder_->ran(output, now);
  // A step that follows was enqueued before this commit: it still writes to the blocks of sequences
  // that end in it.
  const bool followed = --steps_under_way_ > 0;
  copy_sources_.clear();
  if (!followed) ended_blocks_.clear();
  ended_.erase(ended_.begin(), ended_.begin() + static_cast<ptrdiff_t>(plan.released.size()));
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Sequence* sequence = find(plan.rows[i].sequence);
    if (sequence == nullptr) continue;  // cancelled while the step ran
    commit_row(*sequence, plan.rows[i], std::move(output.rows[i]));
  }
  // How long a step takes is known only where none runs before or behind it.
  const bool follows = !plan.rows.empty() && plan.rows.front().follows >= 0;
  if (!plan.rows.empty() && !followed && !follows)
    budget_.observe(plan.tokens(), now - planned_at_);
  return std::exchange(events_, {});
}

void Scheduler::commit_row(Sequence& sequence, const PlanRow& row, RowOutput output) {
  CHECK(sequence.planned == static_cast<int>(row.tokens.size()) && sequence.computed == row.start);
  sequence.planned = std::exchange(sequence.ahead, 0);
  if (output.error) {
    finish(sequence, FinishReason::kError, *std::move(output.error));
    return;
  }
  sequence.computed += static_cast<int>(row.tokens.size());
  record(sequence);
  if (windows_) windows_->release_unseen(sequence.window, sequence.computed);
  if (sequence.wants_prompt_logprobs()) collect_prompt_logprobs(sequence, row, output);
  sequence.forced = std::max(0, sequence.forced - static_cast<int>(row.tokens.size()));
  if (!row.sample) return;
  if (!output.sampled) {
    finish(sequence, FinishReason::kError,
           fail(Code::kInternal, "[engine] expected a sampled token, got none"));
    return;
  }
  if (!accept_token(sequence, output)) return;
  for (const Token token : output.forced) {
    RowOutput forced;
    forced.token = token;
    if (!accept_token(sequence, forced)) return;
  }
  sequence.forced = static_cast<int>(output.forced.size());
  if (output.complete) finish(sequence, FinishReason::kStop);
}

void Scheduler::collect_prompt_logprobs(Sequence& sequence, const PlanRow& row, RowOutput& output) {
  auto& entries = sequence.prompt_logprobs;
  if (row.start == 0) entries.emplace_back();  // nothing comes before the first token
  std::move(output.prompt_logprobs.begin(), output.prompt_logprobs.end(),
            std::back_inserter(entries));
  if (!row.sample) return;
  sequence.prompt_logprobs_sent = true;
  events_.push_back({sequence.id, PromptLogprobsEvent{std::move(entries)}});
}

/// Returns: false if it was the sequence's last.
bool Scheduler::accept_token(Sequence& sequence, RowOutput& output) {
  const StopRules& stop = sequence.submission.stop;
  const int index = sequence.generated();
  sequence.tokens.push_back(output.token);
  ++counters_.generated_tokens;
  // The sampler bans stop tokens before min_tokens. One that comes all the same, because a
  // constraint leaves no other choice, is an ordinary token here as well.
  const bool may_stop = !stop.ignore_eos && index >= stop.min_tokens;
  if (may_stop && is_stop_token(stop, output.token)) {
    finish(sequence, FinishReason::kStop);
    return false;
  }
  TokenEvent event;
  event.token = output.token;
  event.index = index;
  event.logprob = output.logprob;
  event.top = std::move(output.top);
  events_.push_back({sequence.id, std::move(event)});
  if (sequence.generated() < sequence.max_tokens) return true;
  // A constraint's end at the very limit is an end all the same.
  finish(sequence, output.complete ? FinishReason::kStop : FinishReason::kLength);
  return false;
}

/// Names the full blocks of the sequence's tokens that have no name yet.
void Scheduler::extend_names(Sequence& sequence) {
  if (sequence.names.empty()) {
    sequence.names.push_back(cache_.root(sequence.submission.cache_salt));
  }
  const size_t positions = static_cast<size_t>(options_.block_positions);
  const std::span<const Token> tokens = sequence.tokens;
  while (sequence.names.size() <= tokens.size() / positions) {
    const size_t begin = (sequence.names.size() - 1) * positions;
    sequence.names.push_back(cache_.child(sequence.names.back(), tokens.subspan(begin, positions)));
  }
}

/// Tells the prefix cache of newly computed positions.
void Scheduler::record(Sequence& sequence) {
  if (!options_.prefix_cache) return;
  extend_names(sequence);
  const int positions = options_.block_positions;
  const std::span<const Token> tokens = sequence.tokens;
  while (sequence.recorded < sequence.computed) {
    const size_t block = static_cast<size_t>(sequence.recorded / positions);
    const int block_end = static_cast<int>(block + 1) * positions;
    const int end = std::min(block_end, sequence.computed);
    const auto written = tokens.subspan(static_cast<size_t>(sequence.recorded),
                                        static_cast<size_t>(end - sequence.recorded));
    const BlockName* name = end == block_end ? &sequence.names[block + 1] : nullptr;
    cache_.record(sequence.blocks[block].id(), sequence.names[block], written, name);
    if (windows_) windows_->record(sequence.window, block, sequence.names[block], written, name);
    sequence.recorded = end;
  }
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
  status.blocks_total = pool_.total();
  status.blocks_free = pool_.free();
  status.blocks_cached = pool_.cached();
  status.blocks_leased = pool_.leased();
  if (windows_) status.window_blocks = windows_->pool().counts();
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
    status.blocks = static_cast<int>(sequence->blocks.size());
    status.preemptions = sequence->preemptions;
    const auto waits = queue_positions.find(sequence.get());
    if (waits != queue_positions.end()) status.queue_position = waits->second;
    all.push_back(status);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

Result<void> Scheduler::check_integrity() const {
  RETURN_IF_ERROR(pool_.check_integrity());
  RETURN_IF_ERROR(cache_.check_integrity());
  if (windows_) RETURN_IF_ERROR(windows_->check_integrity());
  std::vector<int> references(static_cast<size_t>(pool_.total()), 0);
  std::vector<int> window_references(static_cast<size_t>(options_.window_blocks), 0);
  for (const auto& [id, sequence] : sequences_) {
    const bool holds_blocks = sequence->phase != Phase::kWaiting;
    const bool has_windows = windows_ && holds_blocks;
    if (holds_blocks != !sequence->blocks.empty() ||
        (!has_windows && sequence->window.size() > 0)) {
      return fail(Code::kInternal,
                  fmt::format("[scheduler] sequence {} in phase {} holds {} blocks", id.value,
                              static_cast<int>(sequence->phase), sequence->blocks.size()));
    }
    for (const BlockLease& lease : sequence->blocks) ++references[static_cast<size_t>(lease.id())];
    if (!has_windows) continue;
    RETURN_IF_ERROR(windows_->check_table(sequence->window, sequence->computed));
    for (int i = sequence->window.first; i < sequence->window.size(); ++i) {
      const BlockId block = sequence->window.blocks[static_cast<size_t>(i)].id();
      ++window_references[static_cast<size_t>(block)];
    }
  }
  RETURN_IF_ERROR(check_leases(pool_, &Kept::blocks, std::move(references)));
  if (windows_) {
    RETURN_IF_ERROR(
        check_leases(windows_->pool(), &Kept::window_blocks, std::move(window_references)));
  }
  if (sequences_.size() != waiting_.size() + active_.size() + paused_.size()) {
    return fail(Code::kInternal, "[scheduler] a sequence is in no list, or in two");
  }
  return {};
}

/// Compares a pool's leases with what sequences hold of it and what is kept beside them.
Result<void> Scheduler::check_leases(const BlockPool& pool, std::vector<BlockLease> Kept::*kept,
                                     std::vector<int> references) const {
  for (const Kept* more : {&copy_sources_, &ended_blocks_})
    for (const BlockLease& lease : more->*kept) ++references[static_cast<size_t>(lease.id())];
  for (BlockId id = 0; id < pool.total(); ++id) {
    if (references[static_cast<size_t>(id)] != pool.references(id)) {
      return fail(Code::kInternal,
                  fmt::format("[scheduler] {}block {} has {} leases, sequences hold {}",
                              &pool == &pool_ ? "" : "window ", id, pool.references(id),
                              references[static_cast<size_t>(id)]));
    }
  }
  return {};
}

}  // namespace pippin::engine
