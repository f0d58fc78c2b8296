#include "engine/event_queue.h"

#include <iterator>
#include <utility>

namespace pippin::engine {

bool EventQueue::push(Event event) {
  Notify notify;
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::holds_alternative<FinishEvent>(event)) finished_ = true;
    if (closed_) return false;
    if (events_.empty()) notify = notify_;
    events_.push_back(std::move(event));
    full = full_ = events_.size() >= events_max_;
  }
  if (notify) (*notify)();
  return full;
}

bool EventQueue::take(std::vector<Event>& out) {
  const std::lock_guard lock(mutex_);
  if (out.empty()) {
    out.swap(events_);  // the two vectors take turns, so that their memory is kept
  } else {
    std::move(events_.begin(), events_.end(), std::back_inserter(out));
    events_.clear();
  }
  return std::exchange(full_, false);
}

void EventQueue::set_notify(std::function<void()> notify) {
  Notify waiting;
  {
    const std::lock_guard lock(mutex_);
    notify_ = notify ? std::make_shared<const std::function<void()>>(std::move(notify)) : nullptr;
    if (!events_.empty()) waiting = notify_;
  }
  if (waiting) (*waiting)();
}

void EventQueue::close() {
  Notify dropped;  // what the callback holds is destroyed outside the lock
  const std::lock_guard lock(mutex_);
  closed_ = true;
  events_.clear();
  dropped.swap(notify_);
}

bool EventQueue::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

}  // namespace pippin::engine
