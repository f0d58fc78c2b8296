// What a step gave: tokens become events, newly computed positions become findable.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "engine/core/recorder.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {
namespace {

bool is_stop_token(const StopRules& stop, Token token) {
  return std::find(stop.stop_tokens.begin(), stop.stop_tokens.end(), token) !=
         stop.stop_tokens.end();
}

}  // namespace

std::vector<SequenceEvent> Scheduler::commit(const StepPlan& plan, StepOutput output,
                                             TimePoint now) {
  CHECK(steps_under_way_ > 0, "commit() follows next()");
  CHECK(output.rows.size() == plan.rows.size(), "one output for each row");
  if (recorder_ != nullptr) recorder_->ran(output, now);
  // A step planned ahead was enqueued before this commit: it still writes to the blocks of
  // sequences that end in it.
  const bool another_runs = --steps_under_way_ > 0;
  copy_sources_.clear();
  if (!another_runs) ended_blocks_.clear();
  ended_.erase(ended_.begin(), ended_.begin() + static_cast<ptrdiff_t>(plan.released.size()));
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Sequence* sequence = find(plan.rows[i].sequence);
    if (sequence == nullptr) continue;  // cancelled while the step ran
    commit_row(*sequence, plan.rows[i], std::move(output.rows[i]));
  }
  // How long a step takes is known only where none runs before or behind it.
  const bool planned_ahead = !plan.rows.empty() && plan.rows.front().previous_row >= 0;
  if (!plan.rows.empty() && !another_runs && !planned_ahead)
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
  if (row.drafts > 0) {
    sequence.forced = take_drafts(sequence, row, output);
    accept_tokens(sequence, output);
    return;
  }
  const int tokens = static_cast<int>(row.tokens.size());
  kv_.commit(sequence, tokens, tokens);
  if (sequence.wants_prompt_logprobs()) collect_prompt_logprobs(sequence, row, output);
  sequence.forced = std::max(0, sequence.forced - tokens);
  if (row.pool) {
    events_.push_back({sequence.id, EmbeddingEvent{std::move(output.embedding)}});
    finish(sequence, FinishReason::kStop);
  } else if (row.sample) {
    accept_tokens(sequence, output);
  }
}

/// Keeps what is computed of drafts that came true.
/// Returns: the tokens behind the last one that count as computed, to be computed again.
int Scheduler::take_drafts(Sequence& sequence, const PlanRow& row, const RowOutput& output) {
  const int drafts = row.drafts;
  const int accepted = std::min(drafts, static_cast<int>(output.verified.size()));
  counters_.drafted += static_cast<uint64_t>(drafts);
  counters_.accepted += static_cast<uint64_t>(accepted);
  const size_t length = sequence.tokens.size();
  const auto first = row.tokens.end() - drafts;
  sequence.tokens.insert(sequence.tokens.end(), first, first + accepted);
  const int counted = kv_.commit(sequence, static_cast<int>(row.tokens.size()), 1 + accepted);
  sequence.tokens.resize(length);  // accept_tokens() puts them there one by one
  if (sequence.marked.size() > length) sequence.marked.resize(length);
  return counted > 0 ? 0 : 1 + accepted;
}

/// Takes the tokens that a row chose, or a constraint behind them.
void Scheduler::accept_tokens(Sequence& sequence, RowOutput& output) {
  if (!output.sampled) {
    finish(sequence, FinishReason::kError,
           fail(Code::kInternal, "[engine] expected a sampled token, got none"));
    return;
  }
  if (!accept_token(sequence, {output.token, output.logprob, std::move(output.top)},
                    output.complete))
    return;
  for (SampledToken& token : output.verified)
    if (!accept_token(sequence, std::move(token), false)) return;
  for (const Token token : output.forced)
    if (!accept_token(sequence, {token, 0, {}}, false)) return;
  sequence.forced += static_cast<int>(output.forced.size());
  if (output.complete) finish(sequence, FinishReason::kStop);
}

/// Returns: false if it was the sequence's last.
bool Scheduler::accept_token(Sequence& sequence, SampledToken sampled, bool complete) {
  const StopRules& stop = sequence.submission.stop;
  const int index = sequence.generated();
  sequence.tokens.push_back(sampled.token);
  ++counters_.generated_tokens;
  // The sampler bans stop tokens before min_tokens. One that comes all the same, because a
  // constraint leaves no other choice, is an ordinary token here as well.
  const bool may_stop = !stop.ignore_eos && index >= stop.min_tokens;
  if (may_stop && is_stop_token(stop, sampled.token)) {
    finish(sequence, FinishReason::kStop);
    return false;
  }
  TokenEvent event;
  event.token = sampled.token;
  event.index = index;
  event.logprob = sampled.logprob;
  event.top = std::move(sampled.top);
  events_.push_back({sequence.id, std::move(event)});
  if (sequence.generated() < sequence.max_tokens) return true;
  // A constraint's end at the very limit is an end all the same.
  finish(sequence, complete ? FinishReason::kStop : FinishReason::kLength);
  return false;
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

}  // namespace pippin::engine
