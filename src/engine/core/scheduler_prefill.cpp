// How prompts share what decode rows leave of a step, and where they may be cut.
#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/core/scheduler.h"

namespace pippin::engine {
namespace {

constexpr int kPrefillTokensMin = 16;  // beside any number of decode rows, so that prompts move on
// With no decode rows nobody waits for a next token, and small steps on a slow device would spend
// their time on reading the weights.
constexpr int kLonePrefillTokensMin = 64;

}  // namespace

/// Returns the last place up to `end` at which a row may end: not between tokens that see each
/// other. The sequence's own place if there is none.
int Scheduler::uncut_end(const Sequence& sequence, int end) const {
  if (kv_.empty()) return end < sequence.prompt_tokens() ? sequence.computed : end;
  for (const MediaSpan& media : sequence.submission.media) {
    if (media.both_ways && media.begin < end && end < media.begin + media.count)
      return std::max(sequence.computed, media.begin);
  }
  return end;
}

/// Returns the tokens of the shortest row that goes on with the sequence.
int Scheduler::least_tokens(const Sequence& sequence) const {
  const int next = sequence.computed + 1;
  if (uncut_end(sequence, next) == next) return 1;
  if (kv_.empty()) return sequence.remaining();
  for (const MediaSpan& media : sequence.submission.media) {
    const int end = media.begin + media.count;
    if (media.begin < next && next < end) return end - sequence.computed;
  }
  return 1;
}

/// Returns where a row that would end at `end` ends: what blocks and uncut tokens allow, and where
/// a checkpoint is wanted, if that is possible.
int Scheduler::row_end(const Sequence& sequence, int end) const {
  end = std::min(end, kv_.reach(sequence));
  const int wanted = uncut_end(sequence, kv_.chunk_end(sequence, end));
  return wanted > sequence.computed ? wanted : uncut_end(sequence, end);
}

/// Returns the first sequence in turn whose prompt is being computed beside others.
const Sequence* Scheduler::first_prefill() const {
  for (const Sequence* sequence : active_) {
    if (is_exclusive(*sequence)) continue;
    if (sequence->remaining() > 1 + sequence->forced) return sequence;
  }
  return nullptr;
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
  for (Sequence* sequence : active_)
    if (sequence->planned == 0 && !is_exclusive(*sequence)) shares.emplace_back(sequence, 0);
  if (shares.empty() || budget <= 0) return;
  const int least_of_first = least_tokens(*shares.front().first);
  budget = std::max(budget, std::min(least_of_first, options_.step_tokens_max - plan.tokens()));
  const auto grant = [&](std::pair<Sequence*, int>& share, int at_most) {
    const int tokens = std::min({share.first->remaining() - share.second, at_most, budget});
    if (share.second + tokens < least_tokens(*share.first)) return;
    share.second += tokens;
    budget -= tokens;
  };
  grant(shares.front(), std::max((budget + 1) / 2, least_of_first));
  std::sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) {
    const auto key = [](const Sequence* s) {
      return std::tuple(-static_cast<int>(s->submission.priority), s->remaining(), s->arrival);
    };
    return key(a.first) < key(b.first);
  });
  for (auto& share : shares) grant(share, budget);
  for (const auto& [sequence, tokens] : shares) {
    if (tokens == 0) continue;
    const int end = row_end(*sequence, sequence->computed + tokens);
    if (end <= sequence->computed) continue;
    kv_.must_cover(*sequence, end);
    add_row(plan, *sequence, end - sequence->computed);
  }
}

}  // namespace pippin::engine
