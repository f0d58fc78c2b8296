#include "engine/event_stream.h"

#include <utility>

#include "engine/event_queue.h"
#include "engine/mailbox.h"

namespace pippin::engine {

EventStream::EventStream(SequenceId id, std::shared_ptr<EventQueue> events,
                         std::shared_ptr<Mailbox> mailbox)
    : id_(id), events_(std::move(events)), mailbox_(std::move(mailbox)) {}

EventStream::~EventStream() {
  events_->close();
  cancel(FinishReason::kCancelled);
}

void EventStream::take(std::vector<Event>& out) {
  if (events_->take(out)) mailbox_->post(ResumeCommand{id_});
}

void EventStream::set_notify(std::function<void()> notify) {
  events_->set_notify(std::move(notify));
}

void EventStream::cancel(FinishReason reason) {
  if (events_->finished() || cancelled_.exchange(true)) return;
  mailbox_->post(CancelCommand{id_, reason});
}

}  // namespace pippin::engine
