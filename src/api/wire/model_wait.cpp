#include "api/wire/model_wait.h"

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "api/wire/model_access.h"
#include "base/log.h"
#include "service/process.h"

namespace pippin::api {
namespace {

// What rendering and tokenising a large body takes, in times of it: its texts as JSON, as the
// template's values, as its output, and as pieces of it.
constexpr size_t kRenderTimes = 8;

// From this size on what a body took is given back to the system once it is read.
constexpr size_t kTrimmedBytes = size_t{4} << 20;

// Goes on, with the memory that rendering takes.
void go_on(std::shared_ptr<Exchange> exchange, service::ModelLease model, const WaitForm& form,
           const WithModel& then) {
  const size_t bytes = exchange->request().body.size();
  std::shared_ptr<void> room;
  if (bytes >= WorkerPool::kLargeBytes) {
    room = exchange->reserve(kRenderTimes * bytes);
    if (room == nullptr) {
      Error busy = fail(Code::kOverloaded,
                        "The requests under way take all the memory that there is for them.");
      busy.retry_after_s = 1;
      return exchange->respond(form.error(busy));
    }
  }
  then(std::move(exchange), std::move(model));
  // Thousands of small texts leave holes, which the allocator keeps for itself.
  if (bytes >= kTrimmedBytes) service::give_back_memory();
}

// A stream that was begun with pings: what follows is put into it.
class BegunStream final : public Exchange {
 public:
  BegunStream(std::shared_ptr<Exchange> exchange, std::string error_head)
      : exchange_(std::move(exchange)), error_head_(std::move(error_head)) {}

  const Request& request() const override { return exchange_->request(); }
  void respond(Response response) override {
    exchange_->write(error_head_ + response.body + "\n\n");
    exchange_->finish();
  }
  void start_stream(Response head) override {
    if (!head.body.empty()) exchange_->write(head.body);
  }
  bool write(std::string_view bytes) override { return exchange_->write(bytes); }
  size_t queued_bytes() const override { return exchange_->queued_bytes(); }
  void finish() override { exchange_->finish(); }
  void on_disconnect(std::function<void()> callback) override {
    exchange_->on_disconnect(std::move(callback));
  }
  void on_drained(std::function<void()> callback) override {
    exchange_->on_drained(std::move(callback));
  }
  void on_heartbeat(std::function<void()> callback) override {
    exchange_->on_heartbeat(std::move(callback));
  }
  std::shared_ptr<void> reserve(size_t bytes) override { return exchange_->reserve(bytes); }

 private:
  const std::shared_ptr<Exchange> exchange_;
  const std::string error_head_;
};

// One request that waits. Shared by the pool and the exchange's callback. It goes on, and lets go
// of an exchange whose client has left, on a worker: not inside the exchange's own callback.
class ModelWait final : public std::enable_shared_from_this<ModelWait> {
 public:
  ModelWait(const Context& context, std::shared_ptr<Exchange> exchange, WaitForm form,
            WithModel then)
      : context_(context),
        exchange_(std::move(exchange)),
        form_(std::move(form)),
        then_(std::move(then)),
        work_owner_(exchange_->request().work_owner),
        work_bytes_(exchange_->request().body.size()) {}

  void begin(std::string_view name) {
    exchange_->on_disconnect([weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->leave();
    });
    service::ModelWaiter waiter;
    waiter.deadline = form_.deadline;
    waiter.ready = [self = shared_from_this()](Result<service::ModelLease> model) {
      self->ready(std::move(model));
    };
    if (form_.events)
      waiter.progress = [self = shared_from_this()](double part) { self->tell(part); };
    const uint64_t ticket = context_.models.wait(name, std::move(waiter));
    {
      const std::lock_guard lock(mutex_);
      ticket_ = ticket;
      if (!gone_) return;
    }
    drop(ticket);  // the client left before there was a ticket
  }

 private:
  void leave() {
    uint64_t ticket = 0;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      ticket = ticket_;
    }
    if (ticket != 0) drop(ticket);
  }

  void drop(uint64_t ticket) {
    if (std::shared_ptr<void> held = context_.models.forget(ticket))
      post([held = std::move(held)] {});
  }

  void ready(Result<service::ModelLease> model) {
    auto result = std::make_shared<Result<service::ModelLease>>(std::move(model));
    post([self = shared_from_this(), result = std::move(result)] { self->go_on(*result); });
  }

  void go_on(Result<service::ModelLease>& model) {
    std::shared_ptr<Exchange> exchange;
    {
      const std::lock_guard lock(mutex_);
      exchange = std::exchange(exchange_, nullptr);
      if (begun_) exchange = std::make_shared<BegunStream>(std::move(exchange), form_.error_head);
    }
    if (!model.ok()) return exchange->respond(form_.error(model.error()));
    api::go_on(std::move(exchange), std::move(*model), form_, then_);
  }

  // On the loader's thread, or a device thread.
  void tell(double part) {
    const std::lock_guard lock(mutex_);
    if (exchange_ == nullptr || gone_) return;
    if (!begun_) {
      begun_ = true;
      exchange_->start_stream(
          {200, "text/event-stream", {}, {{"cache-control", "no-cache"}}, form_.ping});
    }
    exchange_->write(form_.ping.empty()
                         ? fmt::format(": the model is being loaded, {:.0f} %\n\n", 100 * part)
                         : form_.ping);
  }

  void post(std::function<void()> job) {
    // Its place is the one it had before the wait.
    if (!context_.workers.post(std::move(job), {work_owner_, work_bytes_, true}))
      log::warn("[models] the server ends before a request that waited goes on");
  }

  const Context& context_;
  std::mutex mutex_;
  std::shared_ptr<Exchange> exchange_;  // null once it goes on
  const WaitForm form_;
  const WithModel then_;
  const std::string work_owner_;
  const size_t work_bytes_;
  uint64_t ticket_ = 0;
  bool begun_ = false, gone_ = false;
};

}  // namespace

bool asks_for_stream(const boost::json::object& body) {
  const boost::json::value* stream = body.if_contains("stream");
  return stream != nullptr && stream->is_bool() && stream->get_bool();
}

void with_model(const Context& context, std::shared_ptr<Exchange> exchange, std::string_view name,
                WaitForm form, WithModel then) {
  const Result<void> allowed = check_model(context, exchange->request().caller.get(), name);
  if (!allowed.ok()) return exchange->respond(form.error(allowed.error()));
  std::optional<Result<service::ModelLease>> model = context.models.try_lease(name);
  if (!model) {
    std::make_shared<ModelWait>(context, std::move(exchange), std::move(form), std::move(then))
        ->begin(name);
  } else if (!model->ok()) {
    exchange->respond(form.error(model->error()));
  } else {
    go_on(std::move(exchange), *std::move(*model), form, then);
  }
}

}  // namespace pippin::api
