// Mailbox: what other threads ask of the device thread. Bounded: submissions by the queue's limit,
// and each stream has at most one cancel and one resume under way.
// Owner: shared by the engine and the streams' handles, which may outlive it.
// Thread: any; collect() and note() the device thread's.
#pragma once

#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/core/sequence.h"
#include "engine/core/types.h"
#include "engine/event_queue.h"

namespace pippin::engine {

struct SubmitCommand {
  SequenceId id;
  Submission submission;
  std::shared_ptr<EventQueue> events;
  TimePoint submitted_at{};
};
struct CancelCommand {
  SequenceId id;
  FinishReason reason;
};
struct CancelAllCommand {};
struct ResumeCommand {
  SequenceId id;
};
struct DeterministicCommand {};
struct ResizeCommand {
  std::vector<int> blocks;
  std::shared_ptr<std::promise<bool>> done;
};
using EngineCommand = std::variant<SubmitCommand, CancelCommand, CancelAllCommand, ResumeCommand,
                                   DeterministicCommand, ResizeCommand>;

class Mailbox {
 public:
  explicit Mailbox(int queue_max) : queue_max_(queue_max) {}

  /// Errors: kUnavailable after refuse() or stop(), kOverloaded when queue_max submissions wait.
  Result<void> submit(SubmitCommand command);
  /// Adds the submissions that lie here, in order; the scheduler does not know of them yet.
  void list(std::vector<SequenceStatus>& out) const;
  /// Adds any other command; after stop() it is dropped.
  void post(EngineCommand command);

  /// From now on submissions are refused.
  void refuse();
  /// Tells the device thread to end.
  void stop();
  /// The device thread has ended by this error: from now on submissions are refused with it, and
  /// nothing lives. Returns what lay here.
  std::vector<EngineCommand> fail(Error error);
  /// Waits until no sequence lives.
  /// Returns: false if `at_most` passed first.
  bool wait_until_quiet(Duration at_most);

  enum class Wait { kNo, kForCommands };
  /// Moves all commands to `out`. With kForCommands it first waits for one, until `wake_at` if
  /// given. Returns: false after stop().
  bool collect(std::vector<EngineCommand>& out, Wait wait, std::optional<TimePoint> wake_at);
  /// Notes how many submissions wait in the scheduler, and how many sequences have ended since the
  /// last call.
  void note(int queued, int ended);

 private:
  const int queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;   // commands or stop
  std::condition_variable quiet_;  // live_ has reached 0
  std::vector<EngineCommand> commands_;
  int submissions_ = 0;  // among commands_
  int queued_ = 0;       // in the scheduler, when it last noted
  int live_ = 0;
  bool refusing_ = false;
  bool stopping_ = false;
  std::optional<Error> failed_;
};

}  // namespace pippin::engine
