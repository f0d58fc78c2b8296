#include "engine/core/decode.h"

#include <algorithm>

#include "engine/core/recorder.h"

namespace pippin::engine {
namespace {

bool is_stop_token(const StopRules& stop, Token token) {
  return std::find(stop.stop_tokens.begin(), stop.stop_tokens.end(), token) !=
         stop.stop_tokens.end();
}

}  // namespace

void Decode::plan(StepPlan& plan, int prefill_needs) {
  // Tokens beside one for each row, also for those that this step admits, and beside what a prompt
  // needs that cannot be cut. What constraints have decided goes in as a chunk, and so do guesses.
  int spare = options_.step_tokens_max - options_.rows_max - std::max(0, prefill_needs - 1);
  const std::vector<Sequence*>& active = table_.active();
  for (size_t i = 0; i < active.size();) {
    Sequence& sequence = *active[i];
    if (rows_.is_exclusive(sequence)) {
      ++i;
      continue;
    }
    const bool decodes = sequence.remaining() == 1 + sequence.jump_forward;
    const int chunk = decodes ? std::min(sequence.jump_forward, std::max(spare, 0)) : 0;
    const int least = decodes ? 1 + chunk : rows_.least_tokens(sequence);
    if (!rows_.grow(sequence, least)) continue;  // it is not active any more
    if (decodes) {
      spare -= chunk;
      spare -= draft(sequence, spare);
      rows_.add_row(plan, sequence, 1 + chunk);
    }
    ++i;
  }
}

/// Asks for guesses and makes room for them, at nobody's cost.
/// Returns: the number of tokens guessed.
int Decode::draft(Sequence& sequence, int at_most) {
  const Submission& submission = sequence.submission;
  if (submission.drafter == nullptr || submission.constraint != nullptr || rows_.deterministic() ||
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

bool Decode::can_continue(const StepPlan& plan, TimePoint now) const {
  const bool others_wait = !table_.waiting().empty() && table_.has_room();
  if (plan.rows.empty() || others_wait || table_.active().size() != plan.rows.size()) return false;
  if (const auto timer = table_.next_timer(); timer && *timer <= now) return false;
  std::vector<std::pair<const Sequence*, int>> ends;
  for (const PlanRow& row : plan.rows) {
    const Sequence* sequence = table_.find(row.sequence);
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

StepPlan Decode::plan_behind(const StepPlan& plan) {
  StepPlan next;
  next.rows.reserve(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i)
    rows_.add_async_row(next, *table_.find(plan.rows[i].sequence), static_cast<int>(i));
  return next;
}

void Decode::accept_drafts(Sequence& sequence, const PlanRow& row, RowOutput& output) {
  const int drafts = row.drafts;
  const int accepted = std::min(drafts, static_cast<int>(output.verified.size()));
  table_.counters().drafted += static_cast<uint64_t>(drafts);
  table_.counters().accepted += static_cast<uint64_t>(accepted);
  const size_t length = sequence.tokens.size();
  const auto first = row.tokens.end() - drafts;
  sequence.tokens.insert(sequence.tokens.end(), first, first + accepted);
  const int counted = kv_.commit(sequence, static_cast<int>(row.tokens.size()), 1 + accepted);
  sequence.tokens.resize(length);  // accept() puts them there one by one
  if (sequence.marked.size() > length) sequence.marked.resize(length);
  // Where nothing counts as computed, what came true is computed again.
  sequence.jump_forward = counted > 0 ? 0 : 1 + accepted;
  accept(sequence, output);
}

void Decode::accept(Sequence& sequence, RowOutput& output) {
  if (!output.sampled) {
    table_.finish(sequence, FinishReason::kError,
                  fail(Code::kInternal, "[engine] expected a sampled token, got none"));
    return;
  }
  if (!accept_token(sequence, {output.token, output.logprob, std::move(output.top)},
                    output.complete))
    return;
  for (SampledToken& token : output.verified)
    if (!accept_token(sequence, std::move(token), false)) return;
  for (const Token token : output.jump_forward)
    if (!accept_token(sequence, {token, 0, {}}, false)) return;
  sequence.jump_forward += static_cast<int>(output.jump_forward.size());
  if (output.complete) table_.finish(sequence, FinishReason::kStop);
}

/// Returns: false if it was the sequence's last.
bool Decode::accept_token(Sequence& sequence, SampledToken sampled, bool complete) {
  const StopRules& stop = sequence.submission.stop;
  const int index = sequence.generated();
  sequence.tokens.push_back(sampled.token);
  ++table_.counters().generated_tokens;
  // The sampler bans stop tokens before min_tokens. One that comes all the same, because a
  // constraint leaves no other choice, is an ordinary token here as well.
  const bool may_stop = !stop.ignore_eos && index >= stop.min_tokens;
  if (may_stop && is_stop_token(stop, sampled.token)) {
    table_.finish(sequence, FinishReason::kStop);
    return false;
  }
  TokenEvent event;
  event.token = sampled.token;
  event.index = index;
  event.logprob = sampled.logprob;
  event.top = std::move(sampled.top);
  table_.tell(sequence, std::move(event));
  if (sequence.generated() < sequence.max_tokens) return true;
  // A constraint's end at the very limit is an end all the same.
  table_.finish(sequence, complete ? FinishReason::kStop : FinishReason::kLength);
  return false;
}

}  // namespace pippin::engine
