#include "api/openai/rate_limits.h"

#include <algorithm>
#include <utility>

namespace pippin::api::openai {
namespace {

void add_limits(const Context& context, Response& response) {
  int limit = 0, taken = 0;
  for (const service::ModelLease& model : context.models.lease_all()) {
    const engine::EngineOptions& options = model->engine->options();
    const engine::EngineStatus status = model->engine->status();
    limit += options.rows_max + options.queue_max;
    taken += status.running + status.waiting;
  }
  if (limit == 0) return;  // nothing is loaded yet
  const int left = std::max(0, limit - taken);
  response.headers.emplace_back("x-ratelimit-limit-requests", std::to_string(limit));
  response.headers.emplace_back("x-ratelimit-remaining-requests", std::to_string(left));
  response.headers.emplace_back("x-ratelimit-reset-requests", left > 0 ? "0s" : "1s");
}

/// Passes everything on, with the headers in the answer's head.
class LimitedExchange final : public Exchange {
 public:
  LimitedExchange(const Context& context, std::shared_ptr<Exchange> exchange)
      : context_(context), exchange_(std::move(exchange)) {}

  const Request& request() const override { return exchange_->request(); }
  void respond(Response response) override {
    add_limits(context_, response);
    exchange_->respond(std::move(response));
  }
  void start_stream(Response head) override {
    add_limits(context_, head);
    exchange_->start_stream(std::move(head));
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

 private:
  const Context& context_;
  const std::shared_ptr<Exchange> exchange_;
};

}  // namespace

Handler with_rate_limits(const Context& context, Handler handler) {
  return [&context, handler = std::move(handler)](std::shared_ptr<Exchange> exchange) {
    handler(std::make_shared<LimitedExchange>(context, std::move(exchange)));
  };
}

}  // namespace pippin::api::openai
