// EventStream: the reader's end of one sequence's events. The device thread pushes, one reader
// takes; destroying the last handle cancels the sequence.
// Owner: the reader. Thread: any, one at a time; cancel() any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "engine/core/types.h"

namespace pippin::engine {

class EventQueue;
class Mailbox;

class EventStream {
 public:
  /// The queue is the sequence's; commands go to the mailbox.
  EventStream(SequenceId id, std::shared_ptr<EventQueue> events, std::shared_ptr<Mailbox> mailbox);
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  SequenceId id() const { return id_; }
  /// Moves all waiting events to the end of `out`. Never blocks.
  void take(std::vector<Event>& out);
  /// Sets a callback for "events are waiting"; called on the device thread, must not block. Called
  /// at once if events wait already. Called when the queue turns from empty to not empty, so the
  /// reader takes all. A call under way may outlast the handle.
  void set_notify(std::function<void()> notify);
  /// Asks for the end. Blocks are free within one step; a FinishEvent with `reason` follows.
  void cancel(FinishReason reason);

 private:
  const SequenceId id_;
  const std::shared_ptr<EventQueue> events_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace pippin::engine
