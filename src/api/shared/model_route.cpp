#include "api/shared/model_route.h"

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "api/shared/body.h"
#include "api/shared/model_access.h"
#include "base/log.h"
#include "service/models/model_pool.h"
#include "service/process.h"

namespace pippin::api {
namespace {

// What rendering and tokenising a large body takes, in times of it: its texts as JSON, as the
// template's values, as its output, and as pieces of it.
constexpr size_t kRenderTimes = 8;

// From this size on what a body took is given back to the system once it is read.
constexpr size_t kTrimmedBytes = size_t{4} << 20;

// Serves a request, with the memory that rendering takes.
void serve(const ModelRoute& route, ApiRequest request) {
  const size_t bytes = request.exchange->request().body.size();
  std::shared_ptr<void> memory;
  if (bytes >= WorkerPool::kLargeBytes) {
    memory = request.exchange->reserve(kRenderTimes * bytes);
    if (memory == nullptr) {
      Error busy = fail(Code::kOverloaded,
                        "The requests under way take all the memory that there is for them.");
      busy.retry_after_s = 1;
      return request.respond(busy);
    }
  }
  request.times.mark_loaded();
  route.serve(std::move(request));
  // Thousands of small texts leave holes, which the allocator keeps for itself.
  if (bytes >= kTrimmedBytes) service::give_back_memory();
}

// A stream that was begun with pings: what follows is put into it.
class BegunStream final : public Exchange {
 public:
  BegunStream(std::shared_ptr<Exchange> exchange, std::string_view error_event)
      : exchange_(std::move(exchange)), error_event_(error_event) {}

  const Request& request() const override { return exchange_->request(); }
  void respond(Response response) override {
    exchange_->write(std::string(error_event_) + response.body + "\n\n");
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
  const std::string_view error_event_;
};

bool asks_for_stream(const boost::json::object& body) {
  const boost::json::value* stream = body.if_contains("stream");
  return stream != nullptr && stream->is_bool() && stream->get_bool();
}

/// A request before its model is loaded.
struct OpenRequest {
  const Context& context;
  std::shared_ptr<const ModelRoute> route;
  std::shared_ptr<Exchange> exchange;
  boost::json::object body;
  ModelChoice choice;
  RequestTimes times;
};

void serve(OpenRequest opened, Result<service::ModelLease> model) {
  const ApiFormat& format = opened.route->format;
  if (!model.ok())
    return opened.exchange->respond(format.error(model.error(), opened.exchange->request()));
  serve(*opened.route, {opened.context, format, std::move(opened.exchange), std::move(opened.body),
                        std::move(opened.choice), opened.times, std::move(*model)});
}

// A request that waits. Shared by the pool and the exchange's callback. It goes on, and lets go of
// an exchange whose client has left, on a worker: not inside the exchange's own callback.
class ModelWait final : public std::enable_shared_from_this<ModelWait> {
 public:
  explicit ModelWait(OpenRequest opened)
      : context_(opened.context),
        format_(opened.route->format),
        work_owner_(opened.exchange->request().work_owner),
        work_bytes_(opened.exchange->request().body.size()),
        request_(std::move(opened)) {}

  void begin() {
    service::ModelWaiter waiter;
    waiter.deadline = request_.choice.deadline;
    waiter.ready = [self = shared_from_this()](Result<service::ModelLease> model) {
      self->ready(std::move(model));
    };
    if (format_.event_streams && asks_for_stream(request_.body))
      waiter.progress = [self = shared_from_this()](double part) { self->tell(part); };
    request_.exchange->on_disconnect([weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->leave();
    });
    const uint64_t ticket =
        context_.models.wait(std::string(request_.choice.name), std::move(waiter));
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
    {
      const std::lock_guard lock(mutex_);
      waiting_ = false;
      if (begun_) {
        request_.exchange =
            std::make_shared<BegunStream>(std::move(request_.exchange), format_.error_event);
      }
    }
    serve(std::move(request_), std::move(model));
  }

  // On the loader's thread, or a device thread.
  void tell(double part) {
    const std::lock_guard lock(mutex_);
    if (!waiting_ || gone_) return;
    if (!begun_) {
      begun_ = true;
      request_.exchange->start_stream({200,
                                       "text/event-stream",
                                       {},
                                       {{"cache-control", "no-cache"}},
                                       std::string(format_.ping)});
    }
    request_.exchange->write(
        format_.ping.empty() ? fmt::format(": the model is being loaded, {:.0f} %\n\n", 100 * part)
                             : std::string(format_.ping));
  }

  void post(std::function<void()> job) {
    // Its place is the one it had before the wait.
    if (!context_.workers.post(std::move(job), {work_owner_, work_bytes_, true}))
      log::warn("[models] the server ends before a request that waited goes on");
  }

  const Context& context_;
  const ApiFormat& format_;
  const std::string work_owner_;
  const size_t work_bytes_;
  std::mutex mutex_;
  OpenRequest request_;  // without its parts once it is served
  uint64_t ticket_ = 0;
  bool waiting_ = true, begun_ = false, gone_ = false;
};

void open_request(const Context& context, const std::shared_ptr<const ModelRoute>& route,
                  std::shared_ptr<Exchange> exchange) {
  const RequestTimes times = RequestTimes::begin();
  const ApiFormat& format = route->format;
  const Request& request = exchange->request();
  Result<boost::json::object> body = read_body(context, request);
  if (!body.ok()) return exchange->respond(format.body_error(body.error(), request));
  FieldReader reader(*body);
  std::optional<ModelChoice> choice = route->choose(*exchange, reader);
  if (!reader.ok()) return exchange->respond(format.field_error(*reader.error(), request));
  if (!choice) return;
  const Result<void> allowed = check_model(context, request.caller.get(), choice->name);
  if (!allowed.ok()) return exchange->respond(format.error(allowed.error(), request));
  std::optional<Result<service::ModelLease>> model = context.models.try_lease(choice->name);
  OpenRequest opened{context, route, std::move(exchange), std::move(*body), *std::move(choice),
                     times};
  if (model) return serve(std::move(opened), *std::move(model));
  std::make_shared<ModelWait>(std::move(opened))->begin();
}

}  // namespace

std::unique_ptr<service::Generation> ApiRequest::generate(const FieldReader& reader,
                                                          service::Request request) {
  if (!reader.ok()) {
    respond(*reader.error());
    return nullptr;
  }
  Result<std::unique_ptr<service::Generation>> generation =
      service::Generation::start(std::move(model), std::move(request), exchange->request().caller);
  if (generation.ok()) return std::move(*generation);
  respond(generation.error());
  return nullptr;
}

Handler make_handler(const Context& context, ModelRoute route) {
  return [&context, shared = std::make_shared<const ModelRoute>(std::move(route))](
             std::shared_ptr<Exchange> exchange) {
    open_request(context, shared, std::move(exchange));
  };
}

}  // namespace pippin::api
