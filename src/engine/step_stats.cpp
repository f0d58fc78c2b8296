#include "engine/step_stats.h"

#include <algorithm>
#include <chrono>

namespace pippin::engine {
namespace {

// Speed is measured over about so long: enough for steps of prompts and of answers to be mixed.
constexpr double kSpeedSeconds = 10;
// The newest answer's share in the mean of their lengths.
constexpr double kAnswerShare = 1.0 / 32;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void StepStats::planned(const StepPlan& plan, TimePoint now) {
  for (const SequenceId id : plan.admitted) {
    const auto found = times_.find(id);
    if (found == times_.end()) continue;
    found->second.admitted = now;
    metrics_.queue_seconds.observe(seconds(now - found->second.submitted));
  }
}

void StepStats::ran(const StepPlan& plan, TimePoint began, TimePoint now) {
  metrics_.step_seconds.observe(seconds(now - began));
  metrics_.step_tokens.observe(plan.tokens());
  if (recent_seconds_ > kSpeedSeconds) {
    recent_seconds_ /= 2;
    recent_tokens_ /= 2;
  }
  recent_seconds_ += seconds(now - began);
  recent_tokens_ += plan.tokens();
}

Duration StepStats::time_for(double tokens) const {
  if (recent_tokens_ <= 0) return Duration::zero();
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(tokens * recent_seconds_ / recent_tokens_));
}

void StepStats::came(const std::vector<SequenceEvent>& events, TimePoint now) {
  for (const SequenceEvent& event : events) {
    const auto found = times_.find(event.sequence);
    if (found == times_.end()) continue;
    if (std::holds_alternative<TokenEvent>(event.event)) {
      token_came(found->second, now);
    } else if (const auto* finish = std::get_if<FinishEvent>(&event.event)) {
      ended(found->second, *finish, now);
      times_.erase(found);
    }
  }
}

void StepStats::token_came(Times& times, TimePoint now) {
  if (times.first_token) {
    metrics_.between_tokens_seconds.observe(seconds(now - times.last_token));
  } else {
    times.first_token = now;
    metrics_.first_token_seconds.observe(seconds(now - times.submitted));
    if (times.admitted) metrics_.prefill_seconds.observe(seconds(now - *times.admitted));
  }
  times.last_token = now;
  ++times.tokens;
}

void StepStats::ended(const Times& times, const FinishEvent& event, TimePoint now) {
  metrics_.finished[static_cast<size_t>(event.reason)].fetch_add(1, std::memory_order_relaxed);
  metrics_.request_seconds.observe(seconds(now - times.submitted));
  metrics_.request_prompt_tokens.observe(event.prompt_tokens);
  metrics_.request_generated_tokens.observe(event.completion_tokens);
  const bool whole = event.reason == FinishReason::kStop || event.reason == FinishReason::kLength;
  if (whole) {
    const double share = answer_tokens_ == 0 ? 1 : kAnswerShare;
    answer_tokens_ += share * (event.completion_tokens - answer_tokens_);
  }
  if (!times.first_token) return;
  const double decode = seconds(times.last_token - *times.first_token);
  metrics_.decode_seconds.observe(decode);
  if (times.tokens > 1) metrics_.per_token_seconds.observe(decode / (times.tokens - 1));
}

void StepStats::tell(SequenceStatus& status) const {
  const auto found = times_.find(status.id);
  if (found == times_.end()) return;
  status.submitted_at = found->second.submitted;
  status.first_token_at = found->second.first_token;
}

}  // namespace pippin::engine
