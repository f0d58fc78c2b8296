#include "engine/engine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <fstream>
#include <future>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/core/exception_mapping.h"
#include "engine/core/recorder.h"
#include "engine/core/scheduler.h"
#include "engine/core/warm_up.h"
#include "engine/event_queue.h"
#include "engine/mailbox.h"
#include "engine/step_stats.h"

namespace pippin::engine {
namespace {

// After a drain's time is over, all sequences end within a step. A longer step hangs.
constexpr Duration kLastStepMax = std::chrono::seconds(10);

// Retry-After bounds for a full queue, and how long an estimate is cached.
constexpr std::chrono::seconds kRetryMin{1}, kRetryMax{60};
constexpr Duration kRetryKept = std::chrono::milliseconds(250);

class LoopEngine final : public Engine {
 public:
  using MakeRunner = std::function<Result<std::unique_ptr<Runner>>()>;

  explicit LoopEngine(const EngineOptions& options)
      : options_(options),
        mailbox_(std::make_shared<Mailbox>(options.queue_max)),
        scheduler_(options_) {
    metrics_.deterministic = options.deterministic;
  }

  ~LoopEngine() override {
    mailbox_->stop();
    thread_.join();
  }

  /// Errors: kPermissionDenied, if the file cannot be written.
  Result<void> record(const std::string& path) {
    // For its owner only, whoever made it: it holds prompts and answers.
    const int made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stat kind {};
    const bool is_file = made >= 0 && ::fstat(made, &kind) == 0 && S_ISREG(kind.st_mode);
    const bool may_write = made >= 0 && (!is_file || ::fchmod(made, 0600) == 0);
    if (made >= 0) ::close(made);
    if (may_write) recording_.open(path, std::ios::trunc);
    if (!may_write || !recording_) {
      return fail(Code::kPermissionDenied, "[engine] cannot write the recording " + path, path);
    }
    recorder_.emplace(recording_, options_);
    scheduler_.set_recorder(&*recorder_);
    return {};
  }

  /// Starts the device thread and waits until it has its runner.
  Result<void> launch(MakeRunner make_runner) {
    std::promise<Result<void>> started;
    std::future<Result<void>> result = started.get_future();
    Result<Thread> thread = Thread::start(
        "[engine]", [this, started = std::move(started), make = std::move(make_runner)]() mutable {
          run_thread(make, started);
        });
    if (!thread.ok()) return thread.error();
    thread_ = *std::move(thread);
    return result.get();
  }

  Result<std::shared_ptr<EventStream>> submit(Submission submission) override {
    RETURN_IF_ERROR(Scheduler::check(options_, submission));
    const SequenceId id{next_id_.fetch_add(1, std::memory_order_relaxed)};
    auto events = std::make_shared<EventQueue>(options_.event_queue_max);
    const Result<void> posted = mailbox_->submit({id, std::move(submission), events, clock_.now()});
    if (!posted.ok()) {
      Error error = posted.error();
      if (error.code == Code::kOverloaded) {
        metrics_.refused.fetch_add(1, std::memory_order_relaxed);
        error.retry_after_s = retry_after_s();
      }
      return error;
    }
    return std::make_shared<EventStream>(id, std::move(events), mailbox_);
  }

  EngineStatus status() const override;

  bool has_failed() const override { return failed_; }

  std::vector<SequenceStatus> sequences() const override;

  const EngineMetrics& metrics() const override { return metrics_; }

  const EngineOptions& options() const override { return options_; }

  void make_deterministic() override {
    metrics_.deterministic = true;
    mailbox_->post(DeterministicCommand{});
  }

  bool resize_kv(const std::vector<int>& blocks) override {
    auto done = std::make_shared<std::promise<bool>>();
    std::future<bool> result = done->get_future();
    mailbox_->post(ResizeCommand{blocks, std::move(done)});
    try {
      return result.get();
    } catch (const std::future_error&) {  // the engine ends, and the command was dropped
      return false;
    }
  }

  void note_batch_invariance(const Agreement& agreement) override {
    metrics_.invariance_answers += static_cast<uint64_t>(agreement.answers);
    metrics_.invariance_exact += static_cast<uint64_t>(agreement.exact);
    metrics_.invariance_tokens += static_cast<uint64_t>(agreement.tokens);
    metrics_.invariance_agreed += static_cast<uint64_t>(agreement.agreed);
  }

  void drain(Duration at_most) override {
    mailbox_->refuse();
    if (mailbox_->wait_until_quiet(at_most)) return;
    mailbox_->post(CancelAllCommand{});
    if (!mailbox_->wait_until_quiet(kLastStepMax)) log::error("[engine] a step does not end");
  }

 private:
  /// Estimates when the queue of now is worked off, at the speed of the last steps. Thread: any.
  int retry_after_s();

  /// A plan between its making and its commit.
  struct Step {
    StepPlan plan;
    TimePoint began{};
    std::optional<Error> error;  // of the whole step
  };

  // Everything below runs on the device thread.
  void run_thread(const MakeRunner& make_runner, std::promise<Result<void>>& started);
  Result<void> serve(const MakeRunner& make_runner, std::promise<Result<void>>& started);
  void fail_all(const Error& error);
  void loop(Runner& runner);
  bool step(Runner& runner);
  void begin(Runner& runner, Step& step);
  static StepOutput end(Runner& runner, Step& step);
  void read(std::vector<EngineCommand>& commands);
  void read(ResizeCommand& command);
  void read(SubmitCommand& command);
  void read(CancelCommand& command) { scheduler_.cancel(command.id, command.reason); }
  void read(CancelAllCommand&) { cancel_all(); }
  void read(ResumeCommand& command) { scheduler_.resume(command.id); }
  void read(DeterministicCommand&) { scheduler_.make_deterministic(); }
  void cancel_all();
  void deliver(std::vector<SequenceEvent> events);

  const EngineOptions options_;
  const SystemClock clock_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<uint64_t> next_id_ = 1;
  EngineMetrics metrics_;
  // Guards scheduler_ and stats_; never held while a step runs or a reader is told.
  mutable std::mutex mutex_;
  Scheduler scheduler_;
  StepStats stats_{metrics_};
  std::ofstream recording_;
  std::optional<Recorder> recorder_;
  std::unordered_map<SequenceId, std::shared_ptr<EventQueue>> streams_;
  TimePoint last_end_{};
  bool ending_ = false;         // the engine ends, and cancels what is left
  int retry_s_ = 0;             // the last estimate
  TimePoint retry_known_{};     // and when it was made
  Runner* runner_ = nullptr;    // while the loop runs
  std::deque<Step> under_way_;  // at most two; a deque, because the runner keeps references
  std::atomic<bool> failed_ = false;
  Thread thread_;
};

EngineStatus LoopEngine::status() const {
  const std::lock_guard lock(mutex_);
  EngineStatus now = scheduler_.status();
  if (failed_) now.running = now.waiting = now.paused = now.queued = 0;
  return now;
}

std::vector<SequenceStatus> LoopEngine::sequences() const {
  std::vector<SequenceStatus> submitted;
  mailbox_->list(submitted);
  std::vector<SequenceStatus> all;
  {
    const std::lock_guard lock(mutex_);
    if (!failed_) all = scheduler_.sequences();
    for (SequenceStatus& sequence : all) stats_.tell(sequence);
  }
  int queue_position = 0;
  for (const SequenceStatus& known : all)
    queue_position = std::max(queue_position, known.queue_position);
  const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
  const size_t known = all.size();
  for (SequenceStatus& sequence : submitted) {
    // It may have been read between the two looks.
    const auto end = all.begin() + static_cast<ptrdiff_t>(known);
    if (std::binary_search(all.begin(), end, sequence, by_id)) continue;
    sequence.queue_position = ++queue_position;
    all.push_back(sequence);
  }
  std::sort(all.begin(), all.end(), by_id);
  return all;
}

int LoopEngine::retry_after_s() {
  const TimePoint now = clock_.now();
  {
    const std::lock_guard lock(mutex_);
    if (retry_s_ > 0 && now - retry_known_ < kRetryKept) return retry_s_;
  }
  const std::vector<SequenceStatus> all = sequences();
  const std::lock_guard lock(mutex_);
  double tokens = 0;
  for (const SequenceStatus& sequence : all) {
    if (sequence.phase != Phase::kWaiting) continue;
    const double answer = std::min<double>(sequence.max_tokens, stats_.answer_tokens());
    tokens += sequence.prompt_tokens + std::max(answer, double(sequence.generated_tokens));
  }
  const auto wait = std::chrono::ceil<std::chrono::seconds>(stats_.time_for(tokens));
  retry_s_ = static_cast<int>(std::clamp(wait, kRetryMin, kRetryMax).count());
  retry_known_ = now;
  return retry_s_;
}

// The root of the device thread. What is thrown before the start is told is the start's error;
// later it is the error of all that lives, and of all that comes.
void LoopEngine::run_thread(const MakeRunner& make_runner, std::promise<Result<void>>& started) {
  Result<void> served;
  const std::optional<Error> thrown =
      thrown_by("[engine]", [&] { served = serve(make_runner, started); });
  // By now the model has gone.
  if (const bool runs = runner_ != nullptr; !runs) {
    started.set_value(thrown ? *thrown : served);
  } else if (thrown) {
    fail_all(*thrown);
  }
}

/// Makes the runner, tells that it is there, and serves until the end. Errors: of the start.
Result<void> LoopEngine::serve(const MakeRunner& make_runner, std::promise<Result<void>>& started) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Runner> runner, make_runner());
  if (options_.warm_up) RETURN_IF_ERROR(warm_up(*runner, options_));
  runner_ = runner.get();
  started.set_value({});
  loop(*runner);
  return {};
}

void LoopEngine::fail_all(const Error& error) {
  log::error("[engine] the device thread has ended: {}", error.message);
  {
    const std::lock_guard lock(mutex_);
    failed_ = true;
  }
  for (EngineCommand& command : mailbox_->fail(error)) {
    if (auto* submit = std::get_if<SubmitCommand>(&command))
      streams_.emplace(submit->id, std::move(submit->events));
  }
  under_way_.clear();
  for (const auto& [id, events] : streams_) {
    if (events->finished()) continue;  // its reader threw as it was told
    FinishEvent last{.reason = FinishReason::kError};
    last.error = error;
    static_cast<void>(guarded("[engine]", [&] { events->push(std::move(last)); }));
  }
  streams_.clear();
}

void LoopEngine::loop(Runner& runner) {
  std::vector<EngineCommand> commands;
  bool busy = false;
  // Without rows to run, only a command or a timer changes anything.
  while (mailbox_->collect(commands, busy ? Mailbox::Wait::kNo : Mailbox::Wait::kForCommands,
                           scheduler_.next_timer())) {
    read(commands);
    busy = step(runner);
  }
  read(commands);
  {
    const std::lock_guard lock(mutex_);
    cancel_all();
  }
  step(runner);
  CHECK(streams_.empty(), "every stream ends");
}

/// Plans and enqueues a step unless one is under way, then the next where async scheduling allows
/// it, and commits the first.
/// Returns: false if there was nothing to run.
bool LoopEngine::step(Runner& runner) {
  int queued = 0;
  if (under_way_.empty()) {
    {
      const std::lock_guard lock(mutex_);
      const TimePoint now = clock_.now();
      under_way_.push_back({scheduler_.next(now), now, {}});
      stats_.planned(under_way_.back().plan, now);
      queued = scheduler_.queued();
    }
    mailbox_->note(queued, 0);  // those admitted just now wait no more
    begin(runner, under_way_.back());
  }
  Step& first = under_way_.front();
  const StepPlan& plan = first.plan;
  if (!first.error && runner.can_enqueue_async(plan)) {
    std::optional<StepPlan> next;
    {
      const std::lock_guard lock(mutex_);
      next = scheduler_.next_async(plan, clock_.now());
    }
    if (next) {
      under_way_.push_back({*std::move(next), clock_.now(), {}});
      begin(runner, under_way_.back());
    }
  }
  StepOutput output = end(runner, first);
  const bool ran = !plan.rows.empty();
  std::vector<SequenceEvent> events;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = clock_.now();
    if (ran) stats_.ran(plan, std::max(first.began, last_end_), now);
    last_end_ = now;
    events = scheduler_.commit(plan, std::move(output), now);
    stats_.came(events, now);
    queued = scheduler_.queued();
  }
  under_way_.pop_front();
  const size_t live_before = streams_.size();
  deliver(std::move(events));
  mailbox_->note(queued, static_cast<int>(live_before - streams_.size()));
  return ran;
}

/// Hands a plan to the runner, which reports its own errors. If it throws all the same, the step's
/// rows fail and the server lives on.
void LoopEngine::begin(Runner& runner, Step& step) {
  step.error = thrown_by("[engine]", [&] {
    for (const SequenceId id : step.plan.admitted) runner.admit(id, scheduler_.submission(id));
    if (step.plan.runs()) runner.enqueue(step.plan);
  });
}

/// Returns what a plan's rows gave, once they have run.
StepOutput LoopEngine::end(Runner& runner, Step& step) {
  StepOutput output;
  if (!step.error && step.plan.runs())
    step.error = thrown_by("[engine]", [&] { output = runner.collect(); });
  if (!step.error) return output;
  log::error("[engine] step {} failed: {}", step.plan.step, step.error->message);
  output = {step.plan.step, std::vector<RowOutput>(step.plan.rows.size())};
  for (RowOutput& row : output.rows) row.error = *step.error;
  return output;
}

void LoopEngine::read(std::vector<EngineCommand>& commands) {
  if (commands.empty()) return;
  const std::lock_guard lock(mutex_);
  for (EngineCommand& command : commands)
    std::visit([this](auto& content) { read(content); }, command);
  commands.clear();
}

void LoopEngine::read(SubmitCommand& command) {
  streams_.emplace(command.id, std::move(command.events));
  stats_.submitted(command.id, command.submitted_at);
  const Result<void> submitted = scheduler_.submit(command.id, std::move(command.submission));
  CHECK(submitted.ok(), "the mailbox checks what it takes");
}

void LoopEngine::read(ResizeCommand& command) {
  const bool resized =
      runner_->can_give_back() && under_way_.empty() && scheduler_.resize(command.blocks);
  if (resized) runner_->give_back(command.blocks);
  command.done->set_value(resized);
}

void LoopEngine::cancel_all() {
  ending_ = true;
  for (const auto& [id, events] : streams_) scheduler_.cancel(id, FinishReason::kCancelled);
}

void LoopEngine::deliver(std::vector<SequenceEvent> events) {
  const TimePoint now = clock_.now();
  for (SequenceEvent& event : events) {
    auto* finish = std::get_if<FinishEvent>(&event.event);
    if (ending_ && finish != nullptr && finish->reason == FinishReason::kCancelled)
      finish->error = fail(Code::kUnavailable, "the server is shutting down");
    const auto stream = streams_.find(event.sequence);
    CHECK(stream != streams_.end(), "no event follows the last");
    const bool last = finish != nullptr;
    const bool full = stream->second->push(std::move(event.event));
    if (last) {
      streams_.erase(stream);
    } else if (full) {
      const std::lock_guard lock(mutex_);
      scheduler_.pause(event.sequence, now);
    }
  }
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::start(
    EngineOptions options, std::function<Result<std::unique_ptr<Runner>>()> make_runner) {
  RETURN_IF_ERROR(options.check());
  if (options.event_queue_max <= 0)
    return fail(Code::kInvalidArgument, "[engine] expected every limit to be at least 1");
  auto engine = std::make_unique<LoopEngine>(options);
  if (!options.record_path.empty()) RETURN_IF_ERROR(engine->record(options.record_path));
  RETURN_IF_ERROR(engine->launch(std::move(make_runner)));
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace pippin::engine
