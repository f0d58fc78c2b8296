#include "api/shared/response_stream.h"

#include <utility>

namespace pippin::api {

ResponseStream::ResponseStream(const Context& context, std::shared_ptr<Exchange> exchange,
                               std::unique_ptr<service::Generation> generation,
                               std::unique_ptr<ResponseWriter> writer)
    : context_(context),
      exchange_(std::move(exchange)),
      generation_(std::move(generation)),
      writer_(std::move(writer)) {}

void ResponseStream::start(const Context& context, std::shared_ptr<Exchange> exchange,
                           std::unique_ptr<service::Generation> generation,
                           std::unique_ptr<ResponseWriter> writer) {
  std::shared_ptr<ResponseStream> answer(
      new ResponseStream(context, std::move(exchange), std::move(generation), std::move(writer)));
  answer->self_ = answer;
  answer->listing_ = context.live->add(answer->exchange_->request().id, answer->writer_->id(),
                                       answer->generation_);
  answer->task_ =
      std::make_shared<service::SerialTask>(context.workers, [weak = answer->weak_from_this()] {
        if (const std::shared_ptr<ResponseStream> alive = weak.lock()) alive->step();
      });
  answer->task_->notify();
}

// The callbacks hold the task and the generation, but never the answer: so neither the device
// thread nor an I/O thread destroys an exchange from inside its own callback, and a finished answer
// hears nothing.
void ResponseStream::connect() {
  connected_ = true;
  if (writer_->streams()) {
    exchange_->start_stream(writer_->stream_head());
    writer_->begin(bytes_);
    send();
  }
  exchange_->on_drained([task = task_] { task->notify(); });
  exchange_->on_heartbeat([task = task_, silent = silent_] {
    *silent = true;
    task->notify();
  });
  exchange_->on_disconnect([task = task_, gone = gone_, weak = std::weak_ptr(generation_)] {
    *gone = true;
    if (const auto generation = weak.lock()) generation->cancel();
    task->notify();
  });
  generation_->set_notify([task = task_] { task->notify(); });
}

// Moves what is ready. Runs on the task.
void ResponseStream::step() {
  if (self_ == nullptr) return;  // ended before
  if (!connected_) connect();
  // What a paused client does not read stays in the engine's queue, which is bounded; on_drained
  // notifies again.
  if (writer_->streams() && !*gone_ && exchange_->queued_bytes() > context_.stream_pause_bytes)
    return;
  deltas_.clear();
  generation_->poll(deltas_);
  for (service::Delta& delta : deltas_) {
    if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
      const bool natural = finish->reason == service::FinishReason::kStop ||
                           finish->reason == service::FinishReason::kLength;
      if (!natural) return end_with(finish->error);
    }
    writer_->add(std::move(delta), bytes_);
  }
  if (generation_->finished()) {
    writer_->finish(generation_->usage(), bytes_);
    return end();
  }
  if (silent_->exchange(false) && bytes_.empty()) writer_->keep_alive(bytes_);
  if (writer_->streams() && !send()) generation_->cancel();
}

void ResponseStream::end_with(const Error& error) {
  if (!generation_->finished()) generation_->cancel();
  if (writer_->streams()) {
    writer_->abort(error, bytes_);
    return end();
  }
  listing_ = {};
  exchange_->respond(writer_->failure(error));
  self_.reset();
}

void ResponseStream::end() {
  listing_ = {};  // a client that has its whole answer finds it listed no more
  if (writer_->streams()) {
    send();
    exchange_->finish();
  } else {
    exchange_->respond({200, "application/json", std::move(bytes_), {}});
  }
  self_.reset();
}

// Returns false if the client has gone.
bool ResponseStream::send() {
  if (bytes_.empty()) return true;
  const bool there = exchange_->write(bytes_);
  bytes_.clear();
  return there;
}

}  // namespace pippin::api
