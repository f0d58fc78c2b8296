#include "engine/mailbox.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace pippin::engine {

Result<void> Mailbox::submit(SubmitCommand command) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return *failed_;
    if (refusing_ || stopping_) {
      return pippin::fail(Code::kUnavailable, "[engine] the server is shutting down");
    }
    if (queued_ + submissions_ >= queue_max_) {
      return pippin::fail(Code::kOverloaded,
                          fmt::format("[engine] the queue is full: {} requests are waiting",
                                      queued_ + submissions_));
    }
    commands_.push_back(std::move(command));
    ++submissions_;
    ++live_;
  }
  wake_.notify_one();
  return {};
}

void Mailbox::list(std::vector<SequenceStatus>& out) const {
  const std::lock_guard lock(mutex_);
  for (const EngineCommand& command : commands_) {
    const auto* submit = std::get_if<SubmitCommand>(&command);
    if (submit == nullptr) continue;
    SequenceStatus& status = out.emplace_back();
    status.id = submit->id;
    status.priority = submit->submission.priority;
    status.prompt_tokens = static_cast<int>(submit->submission.tokens.size());
    status.max_tokens = submit->submission.stop.max_tokens;
    status.submitted_at = submit->submitted_at;
  }
}

void Mailbox::post(EngineCommand command) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    commands_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void Mailbox::refuse() {
  const std::lock_guard lock(mutex_);
  refusing_ = true;
}

void Mailbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

std::vector<EngineCommand> Mailbox::fail(Error error) {
  const std::lock_guard lock(mutex_);
  failed_ = std::move(error);
  stopping_ = true;
  submissions_ = queued_ = live_ = 0;
  quiet_.notify_all();
  return std::exchange(commands_, {});
}

bool Mailbox::wait_until_quiet(Duration at_most) {
  std::unique_lock lock(mutex_);
  return quiet_.wait_for(lock, at_most, [this] { return live_ == 0; });
}

bool Mailbox::collect(std::vector<EngineCommand>& out, Wait wait,
                      std::optional<TimePoint> wake_at) {
  std::unique_lock lock(mutex_);
  if (wait == Wait::kForCommands) {
    const auto called = [this] { return stopping_ || !commands_.empty(); };
    if (wake_at) {
      wake_.wait_until(lock, *wake_at, called);
    } else {
      wake_.wait(lock, called);
    }
  }
  std::move(commands_.begin(), commands_.end(), std::back_inserter(out));
  commands_.clear();
  queued_ += std::exchange(submissions_, 0);
  return !stopping_;
}

void Mailbox::note(int queued, int ended) {
  const std::lock_guard lock(mutex_);
  queued_ = queued;
  live_ -= ended;
  if (live_ == 0) quiet_.notify_all();
}

}  // namespace pippin::engine
