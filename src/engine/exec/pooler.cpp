#include "engine/exec/pooler.h"

#include <fmt/format.h>

#include "base/check.h"

namespace pippin::engine {

std::pair<int, int> Pooler::wanted(const PlanRow& row) const {
  const int count = static_cast<int>(row.tokens.size());
  switch (pooling_) {
    case Pooling::kLast:
      return {row.pool ? count - 1 : count, count};
    case Pooling::kFirst:
      return {0, row.start == 0 ? 1 : 0};
    case Pooling::kMean:
    case Pooling::kNone:
      break;
  }
  return {0, count};
}

void Pooler::add(const PlanRow& row, std::span<const float> states) {
  const auto [first, end] = wanted(row);
  const auto tokens = static_cast<size_t>(end - first);
  if (row.start == 0) {  // for the first time, or again after preemption
    seen_ = 0;
    sums_.clear();
  }
  if (row.start == seen_) seen_ += static_cast<int>(row.tokens.size());
  if (tokens == 0) return;
  CHECK(states.size() % tokens == 0, "a row of hidden states for each token");
  const size_t width = states.size() / tokens;
  sums_.resize(width);
  // Token by token in f64: how many come at once makes no difference.
  for (size_t t = 0; t < tokens; ++t)
    for (size_t i = 0; i < width; ++i) sums_[i] += static_cast<double>(states[t * width + i]);
}

Result<std::vector<float>> Pooler::take(int prompt_tokens) const {
  if (seen_ != prompt_tokens || sums_.empty())
    return fail(Code::kInternal,
                fmt::format("[runner] expected the hidden states of {} tokens to pool, got {}",
                            prompt_tokens, seen_));
  const double tokens = pooling_ == Pooling::kMean ? prompt_tokens : 1;
  std::vector<float> embedding;
  embedding.reserve(sums_.size());
  for (const double sum : sums_) embedding.push_back(static_cast<float>(sum / tokens));
  return embedding;
}

}  // namespace pippin::engine
