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

struct SubmitLetter {
  SequenceId id;
  Submission submission;
  std::shared_ptr<EventQueue> events;
  TimePoint submitted_at{};
};
struct CancelLetter {
  SequenceId id;
  FinishReason reason;
};
struct CancelAllLetter {};
struct ResumeLetter {
  SequenceId id;
};
struct SerialiseLetter {};
struct ResizeLetter {
  std::vector<int> blocks;
  std::shared_ptr<std::promise<bool>> done;
};
using Letter = std::variant<SubmitLetter, CancelLetter, CancelAllLetter, ResumeLetter,
                            SerialiseLetter, ResizeLetter>;

class Mailbox {
 public:
  explicit Mailbox(int queue_max) : queue_max_(queue_max) {}

  /// Errors: kUnavailable after refuse() or stop(), kOverloaded when queue_max submissions wait.
  Result<void> submit(SubmitLetter letter);
  /// Adds the submissions that lie here, in order; the scheduler does not know of them yet.
  void list(std::vector<SequenceStatus>& out) const;
  /// Adds any other letter; after stop() it is dropped.
  void post(Letter letter);

  /// From now on submissions are refused.
  void refuse();
  /// Tells the device thread to end.
  void stop();
  /// Waits until no sequence lives.
  /// Returns: false if `at_most` passed first.
  bool wait_until_quiet(Duration at_most);

  enum class Wait { kNo, kForLetters };
  /// Moves all letters to `out`. With kForLetters it first waits for one, until `wake_at` if given.
  /// Returns: false after stop().
  bool collect(std::vector<Letter>& out, Wait wait, std::optional<TimePoint> wake_at);
  /// Notes how many submissions wait in the scheduler, and how many sequences have ended since the
  /// last call.
  void note(int queued, int ended);

 private:
  const int queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;   // letters or stop
  std::condition_variable quiet_;  // live_ has reached 0
  std::vector<Letter> letters_;
  int submissions_ = 0;  // among letters_
  int queued_ = 0;       // in the scheduler, when it last noted
  int live_ = 0;
  bool refusing_ = false;
  bool stopping_ = false;
};

}  // namespace pippin::engine
