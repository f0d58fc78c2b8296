#include "engine/core/direct_run.h"

#include <optional>
#include <utility>

#include "base/check.h"

namespace pippin::engine {

Result<std::vector<DirectAnswer>> DirectRun::run(const std::vector<Submission>& submissions,
                                                 int stagger) {
  std::vector<DirectAnswer> answers(submissions.size());
  Paths places;
  size_t ended = 0;
  for (int steps = 0; ended < submissions.size(); ++steps) {
    while (places.size() < submissions.size() &&
           static_cast<int64_t>(places.size()) * stagger <= steps) {
      const SequenceId id{++ids_};
      RETURN_IF_ERROR(scheduler_.submit(id, submissions[places.size()]));
      places.emplace(id, places.size());
    }
    step(places, answers, ended);
  }
  step(places, answers, ended);  // the runner drops its state of the last ones
  for (const DirectAnswer& answer : answers)
    if (answer.finish.reason == FinishReason::kError) return answer.finish.error;
  return answers;
}

/// Runs a step, and the asynchronously planned one behind it, as the engine's loop does.
void DirectRun::step(const Paths& places, std::vector<DirectAnswer>& answers, size_t& ended) {
  const auto commit = [&](const StepPlan& plan) {
    StepOutput output;
    if (plan.runs()) output = runner_.collect();
    for (SequenceEvent& event : scheduler_.commit(plan, std::move(output), {})) {
      DirectAnswer& answer = answers[places.at(event.sequence)];
      if (const auto* token = std::get_if<TokenEvent>(&event.event)) {
        answer.tokens.push_back(token->token);
      } else if (auto* embedding = std::get_if<EmbeddingEvent>(&event.event)) {
        answer.embedding = std::move(embedding->values);
      } else if (auto* finish = std::get_if<FinishEvent>(&event.event)) {
        answer.finish = std::move(*finish);
        ++ended;
      }
    }
  };
  const StepPlan plan = scheduler_.next({});
  for (const SequenceId id : plan.admitted) runner_.admit(id, scheduler_.submission(id));
  if (plan.runs()) runner_.enqueue(plan);
  std::optional<StepPlan> next;
  if (runner_.can_enqueue_async(plan)) next = scheduler_.next_async(plan, {});
  if (next) runner_.enqueue(*next);
  commit(plan);
  if (next) commit(*next);
}

}  // namespace pippin::engine
