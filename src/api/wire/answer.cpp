#include "api/wire/answer.h"

#include <utility>

namespace pippin::api {

Answer::Answer(const Context& context, std::shared_ptr<Exchange> exchange,
               std::unique_ptr<service::Generation> generation,
               std::unique_ptr<AnswerWriter> writer)
    : context_(context),
      exchange_(std::move(exchange)),
      generation_(std::move(generation)),
      writer_(std::move(writer)) {}

void Answer::start(const Context& context, std::shared_ptr<Exchange> exchange,
                   std::unique_ptr<service::Generation> generation,
                   std::unique_ptr<AnswerWriter> writer) {
  std::shared_ptr<Answer> answer(
      new Answer(context, std::move(exchange), std::move(generation), std::move(writer)));
  answer->self_ = answer;
  answer->listing_ = context.live->add(answer->exchange_->request().id, answer->writer_->id(),
                                       answer->generation_);
  answer->strand_ =
      std::make_shared<service::Strand>(context.workers, [weak = answer->weak_from_this()] {
        if (const std::shared_ptr<Answer> alive = weak.lock()) alive->step();
      });
  answer->strand_->ring();
}

// The callbacks hold the strand and the generation, but never the answer: so neither the device
// thread nor an I/O thread destroys an exchange from inside its own callback, and a finished answer
// hears nothing.
void Answer::connect() {
  connected_ = true;
  if (writer_->streams()) {
    exchange_->start_stream(writer_->stream_head());
    writer_->begin(bytes_);
    send();
  }
  exchange_->on_drained([strand = strand_] { strand->ring(); });
  exchange_->on_heartbeat([strand = strand_, silent = silent_] {
    *silent = true;
    strand->ring();
  });
  exchange_->on_disconnect([strand = strand_, gone = gone_, weak = std::weak_ptr(generation_)] {
    *gone = true;
    if (const auto generation = weak.lock()) generation->cancel();
    strand->ring();
  });
  generation_->set_notify([strand = strand_] { strand->ring(); });
}

// Moves what is ready. Runs on the strand.
void Answer::step() {
  if (self_ == nullptr) return;  // ended before
  if (!connected_) connect();
  // What a paused client does not read stays in the engine's queue, which is bounded; on_drained
  // rings again.
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

void Answer::end_with(const Error& error) {
  if (!generation_->finished()) generation_->cancel();
  if (writer_->streams()) {
    writer_->abort(error, bytes_);
    return end();
  }
  listing_ = {};
  exchange_->respond(writer_->failure(error));
  self_.reset();
}

void Answer::end() {
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
bool Answer::send() {
  if (bytes_.empty()) return true;
  const bool there = exchange_->write(bytes_);
  bytes_.clear();
  return there;
}

}  // namespace pippin::api
