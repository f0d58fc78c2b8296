// EventQueue: the events of one sequence between the device thread and its reader. Bounded by the
// scheduler's pause: push() says when the queue is full, and the sequence then gets no rows until
// the reader has taken what lies there.
// Owner: shared by the engine and the reader's handle. Thread: any.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/core/types.h"

namespace pippin::engine {

class EventQueue {
 public:
  explicit EventQueue(int events_max) : events_max_(static_cast<size_t>(events_max)) {}

  /// Appends an event and notifies the reader if the queue was empty.
  /// Returns: true if the queue is now full.
  bool push(Event event);
  /// Moves all events to the end of `out`.
  /// Returns: true if the queue was full, so that the sequence waits to be resumed.
  bool take(std::vector<Event>& out);
  void set_notify(std::function<void()> notify);
  /// The reader has gone: drops the events and takes no more.
  void close();
  /// Says whether the FinishEvent has been pushed.
  bool finished() const;

 private:
  using Notify = std::shared_ptr<const std::function<void()>>;

  const size_t events_max_;
  mutable std::mutex mutex_;
  std::vector<Event> events_;
  Notify notify_;  // shared, so that it is called outside the lock
  bool full_ = false;
  bool closed_ = false;
  bool finished_ = false;
};

}  // namespace pippin::engine
