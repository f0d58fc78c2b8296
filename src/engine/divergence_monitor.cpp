#include "engine/divergence_monitor.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"

namespace pippin::engine {

/// Rung when events wait or the monitor ends.
class DivergenceMonitor::Wakeup {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    pending_ = true;
    changed_.notify_one();
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  /// Waits for a ring. Returns: false when the monitor ends.
  bool wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return pending_ || stopped_; });
    pending_ = false;
    return !stopped_;
  }
  /// Waits for the time to pass, whatever rings. Returns: false when the monitor ends.
  bool sleep(Duration time) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, time, [this] { return stopped_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool pending_ = false;
  bool stopped_ = false;
};

DivergenceMonitor::DivergenceMonitor(Engine& engine, MonitorOptions options,
                                     std::vector<Submission> prompts)
    : engine_(engine),
      options_(options),
      prompts_([&] {
        for (Submission& prompt : prompts) prompt.priority = Priority::kLow;
        return std::move(prompts);
      }()),
      bell_(std::make_shared<Wakeup>()) {
  CHECK(prompts_.size() >= 2 && options.every > Duration::zero());
  thread_ = std::thread([this] { loop(); });
}

DivergenceMonitor::~DivergenceMonitor() {
  bell_->stop();
  thread_.join();
}

void DivergenceMonitor::loop() {
  while (bell_->sleep(options_.every))
    static_cast<void>(guarded("[divergence]", [this] { round(); }));
}

void DivergenceMonitor::round() {
  if (alone_.empty()) {
    std::optional<std::vector<Answer>> alone = run_alone();
    if (!alone) return;
    alone_ = *std::move(alone);
  }
  // Two rounds share a salt: the first finds nothing in the prefix cache, the second everything.
  std::vector<Submission> company = prompts_;
  for (Submission& prompt : company)
    prompt.cache_salt += fmt::format("divergence monitor {}", rounds_ / 2);
  const std::optional<std::vector<Answer>> answers = run(company);
  if (!answers) return;
  ++rounds_;
  Agreement agreement;
  agreement.name = "company";
  for (size_t i = 0; i < answers->size(); ++i)
    agreement.add(static_cast<int>(i), (*answers)[i], alone_[i]);
  engine_.note_divergence(agreement);
  if (!agreement.same()) return report(agreement);
  log::info("[divergence] {} of {} answers are the same in company as alone, {} tokens",
            agreement.exact, agreement.answers, agreement.tokens);
}

void DivergenceMonitor::report(const Agreement& agreement) {
  const std::optional<std::vector<Answer>> again = run_alone();
  const char* alone = !again             ? "was not asked again alone"
                      : *again == alone_ ? "is the same as before when alone"
                                         : "is another one even when alone";
  log::warn(
      "[divergence] {} of {} answers differ from those alone ({} of {} tokens agree), first prompt "
      "{} at token {}; it {}",
      agreement.answers - agreement.exact, agreement.answers, agreement.agreed, agreement.tokens,
      agreement.first_prompt, agreement.first_token, alone);
  if (!options_.serialise) return;
  log::warn("[divergence] from now on every step runs one row");
  engine_.serialise();
}

std::optional<std::vector<DivergenceMonitor::Answer>> DivergenceMonitor::run_alone() {
  std::vector<Answer> answers;
  for (Submission prompt : prompts_) {
    prompt.alone = true;
    prompt.cache_salt += fmt::format("divergence monitor, alone {}", rounds_);
    std::optional<std::vector<Answer>> answer = run({std::move(prompt)});
    if (!answer) return std::nullopt;
    answers.push_back(std::move(answer->front()));
  }
  return answers;
}

std::optional<std::vector<DivergenceMonitor::Answer>> DivergenceMonitor::run(
    const std::vector<Submission>& submissions) {
  std::vector<std::shared_ptr<EventStream>> streams;
  for (const Submission& submission : submissions) {
    Result<std::shared_ptr<EventStream>> stream = engine_.submit(submission);
    if (!stream.ok()) {
      log::debug("[divergence] a round is left out: {}", stream.error().message);
      return std::nullopt;
    }
    (*stream)->set_notify([bell = bell_] { bell->ring(); });
    streams.push_back(*std::move(stream));
  }
  std::vector<Answer> answers(streams.size());
  for (size_t ended = 0; ended < streams.size();) {
    if (!bell_->wait()) return std::nullopt;
    for (size_t i = 0; i < streams.size(); ++i) {
      std::vector<Event> events;
      streams[i]->take(events);
      for (const Event& event : events) {
        if (const auto* token = std::get_if<TokenEvent>(&event)) answers[i].push_back(token->token);
        const auto* finish = std::get_if<FinishEvent>(&event);
        if (finish == nullptr) continue;
        ++ended;
        const bool whole =
            finish->reason == FinishReason::kStop || finish->reason == FinishReason::kLength;
        if (!whole) return std::nullopt;
      }
    }
  }
  return answers;
}

}  // namespace pippin::engine
