#include "engine/core/prefill.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

namespace pippin::engine {
namespace {

constexpr int kPrefillTokensMin = 16;  // beside any number of decode rows, so that prompts move on
// With no decode rows nobody waits for a next token, and small steps on a slow device would spend
// their time on reading the weights.
constexpr int kLonePrefillTokensMin = 64;

}  // namespace

int Prefill::first_needs() const {
  for (const Sequence* sequence : table_.active()) {
    if (rows_.is_exclusive(*sequence)) continue;
    if (sequence->remaining() > 1 + sequence->jump_forward) return rows_.least_tokens(*sequence);
  }
  return 0;
}

int Prefill::budget_for(const StepPlan& plan) const {
  const int decodes = plan.tokens();
  const int least = decodes == 0 ? kLonePrefillTokensMin : kPrefillTokensMin;
  const int wanted = std::max(budget_.tokens() - decodes, least);
  return std::min(wanted, options_.step_tokens_max - decodes);
}

void Prefill::plan(StepPlan& plan) {
  int budget = budget_for(plan);
  std::vector<std::pair<Sequence*, int>> shares;
  for (Sequence* sequence : table_.active())
    if (sequence->planned == 0 && !rows_.is_exclusive(*sequence)) shares.emplace_back(sequence, 0);
  if (shares.empty() || budget <= 0) return;
  const int least_of_first = rows_.least_tokens(*shares.front().first);
  budget = std::max(budget, std::min(least_of_first, options_.step_tokens_max - plan.tokens()));
  const auto grant = [&](std::pair<Sequence*, int>& share, int at_most) {
    const int tokens = std::min({share.first->remaining() - share.second, at_most, budget});
    if (share.second + tokens < rows_.least_tokens(*share.first)) return;
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
    const int end = rows_.row_end(*sequence, sequence->computed + tokens);
    if (end <= sequence->computed) continue;
    kv_.must_cover(*sequence, end);
    rows_.add_row(plan, *sequence, end - sequence->computed);
  }
}

bool Prefill::commit(Sequence& sequence, const PlanRow& row, RowOutput& output) {
  if (sequence.wants_prompt_logprobs()) {
    auto& entries = sequence.prompt_logprobs;
    if (row.start == 0) entries.emplace_back();  // nothing comes before the first token
    std::move(output.prompt_logprobs.begin(), output.prompt_logprobs.end(),
              std::back_inserter(entries));
    if (row.sample) {
      sequence.prompt_logprobs_sent = true;
      table_.tell(sequence, PromptLogprobsEvent{std::move(entries)});
    }
  }
  if (!row.pool) return true;
  table_.tell(sequence, EmbeddingEvent{std::move(output.embedding)});
  table_.finish(sequence, FinishReason::kStop);
  return false;
}

}  // namespace pippin::engine
