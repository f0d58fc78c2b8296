#include "engine/batch_invariance_monitor.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"

namespace pippin::engine {

/// Notified when events wait or the monitor ends.
class BatchInvarianceMonitor::Wakeup {
 public:
  void notify() {
    const std::lock_guard lock(mutex_);
    pending_ = true;
    changed_.notify_one();
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  /// Waits for notify(). Returns: false when the monitor ends.
  bool wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return pending_ || stopped_; });
    pending_ = false;
    return !stopped_;
  }
  /// Waits for the time to pass, whatever notifies. Returns: false when the monitor ends.
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

BatchInvarianceMonitor::BatchInvarianceMonitor(Engine& engine, MonitorOptions options,
                                               std::vector<Submission> prompts)
    : engine_(engine),
      options_(options),
      prompts_([&] {
        for (Submission& prompt : prompts) prompt.priority = Priority::kLow;
        return std::move(prompts);
      }()),
      wakeup_(std::make_shared<Wakeup>()) {
  CHECK(prompts_.size() >= 2 && options.every > Duration::zero());
  thread_ = Thread("[batch_invariance]", [this] { loop(); });
}

BatchInvarianceMonitor::~BatchInvarianceMonitor() {
  wakeup_->stop();
  thread_.join();
}

void BatchInvarianceMonitor::loop() {
  while (wakeup_->sleep(options_.every))
    static_cast<void>(guarded("[batch_invariance]", [this] { round(); }));
}

void BatchInvarianceMonitor::round() {
  if (exclusive_.empty()) {
    std::optional<std::vector<Answer>> exclusive = run_exclusive();
    if (!exclusive) return;
    exclusive_ = *std::move(exclusive);
  }
  // Two rounds share a salt: the first finds nothing in the prefix cache, the second everything.
  std::vector<Submission> concurrent = prompts_;
  for (Submission& prompt : concurrent)
    prompt.cache_salt += fmt::format("batch-invariance monitor {}", rounds_ / 2);
  const std::optional<std::vector<Answer>> answers = run(concurrent);
  if (!answers) return;
  ++rounds_;
  Agreement agreement;
  agreement.name = "concurrent requests";
  for (size_t i = 0; i < answers->size(); ++i)
    agreement.add(static_cast<int>(i), (*answers)[i], exclusive_[i]);
  engine_.note_batch_invariance(agreement);
  if (!agreement.same()) return report(agreement);
  log::info(
      "[batch_invariance] {} of {} answers are the same beside concurrent requests, {} tokens",
      agreement.exact, agreement.answers, agreement.tokens);
}

void BatchInvarianceMonitor::report(const Agreement& agreement) {
  const std::optional<std::vector<Answer>> again = run_exclusive();
  const char* repeated = !again                 ? "could not be repeated exclusively"
                         : *again == exclusive_ ? "is the same as before when repeated exclusively"
                                                : "differs even when repeated exclusively";
  log::warn(
      "[batch_invariance] {} of {} answers differ from those of exclusive steps ({} of {} tokens "
      "agree), first prompt {} at token {}; it {}",
      agreement.answers - agreement.exact, agreement.answers, agreement.agreed, agreement.tokens,
      agreement.first_prompt, agreement.first_token, repeated);
  if (!options_.make_deterministic) return;
  log::warn("[batch_invariance] from now on every step runs one row");
  engine_.make_deterministic();
}

std::optional<std::vector<BatchInvarianceMonitor::Answer>> BatchInvarianceMonitor::run_exclusive() {
  std::vector<Answer> answers;
  for (Submission prompt : prompts_) {
    prompt.exclusive = true;
    prompt.cache_salt += fmt::format("batch-invariance monitor, exclusive {}", rounds_);
    std::optional<std::vector<Answer>> answer = run({std::move(prompt)});
    if (!answer) return std::nullopt;
    answers.push_back(std::move(answer->front()));
  }
  return answers;
}

std::optional<std::vector<BatchInvarianceMonitor::Answer>> BatchInvarianceMonitor::run(
    const std::vector<Submission>& submissions) {
  std::vector<std::shared_ptr<EventStream>> streams;
  for (const Submission& submission : submissions) {
    Result<std::shared_ptr<EventStream>> stream = engine_.submit(submission);
    if (!stream.ok()) {
      log::debug("[batch_invariance] a round is left out: {}", stream.error().message);
      return std::nullopt;
    }
    (*stream)->set_notify([wakeup = wakeup_] { wakeup->notify(); });
    streams.push_back(*std::move(stream));
  }
  std::vector<Answer> answers(streams.size());
  for (size_t ended = 0; ended < streams.size();) {
    if (!wakeup_->wait()) return std::nullopt;
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
