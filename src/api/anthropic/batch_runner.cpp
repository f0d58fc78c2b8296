#include "api/anthropic/batch_runner.h"

#include <chrono>
#include <optional>
#include <vector>

#include "api/anthropic/answer_message.h"
#include "base/log.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

constexpr size_t kAtOnce = 4;  // so many fill a step's leftover, and leave room for others

// What is not the request's own fault: it is taken up again later.
bool is_passing(int status) { return status == 503 || status == 529 || status == 429; }

Request request_of(const service::BatchWork& work, std::shared_ptr<Caller> caller) {
  Request request;
  request.caller = std::move(caller);
  request.method = "POST";
  request.path = "/v1/messages";
  request.body = work.params_json;
  request.id = work.batch + "-" + std::to_string(work.place);
  return request;
}

std::string result_json(const Response& response) {
  std::string out;
  service::JsonWriter json(out);
  const bool succeeded = response.status == 200;
  json.begin_object().field("type", succeeded ? "succeeded" : "errored");
  json.key(succeeded ? "message" : "error").raw(response.body).end_object();
  return out;
}

}  // namespace

int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// Takes the place of a client: it keeps the answer as a result, and leaves when the batch is
// cancelled.
class BatchExchange final : public Exchange {
 public:
  BatchExchange(std::shared_ptr<BatchRunner> runner, service::BatchWork work,
                std::shared_ptr<Caller> caller)
      : runner_(std::move(runner)),
        work_(std::move(work)),
        request_(request_of(work_, std::move(caller))) {}
  ~BatchExchange() override {
    if (!answered_) runner_->ended(work_, {503, {}, {}, {}});
  }

  const Request& request() const override { return request_; }
  void respond(Response response) override {
    answered_ = true;
    runner_->ended(work_, response);
  }
  void start_stream(Response) override {}
  bool write(std::string_view) override { return false; }
  size_t queued_bytes() const override { return 0; }
  void finish() override {}
  void on_disconnect(std::function<void()> callback) override {
    runner_->set_canceller({work_.batch, work_.place}, std::move(callback));
  }
  void on_drained(std::function<void()>) override {}

 private:
  const std::shared_ptr<BatchRunner> runner_;
  const service::BatchWork work_;
  const Request request_;
  bool answered_ = false;
};

BatchRunner::BatchRunner(const Context& context, std::shared_ptr<const Seal> seal)
    : context_(context), seal_(std::move(seal)) {}

void BatchRunner::kick() {
  {
    const std::lock_guard lock(mutex_);
    paused_ = false;
    again_ = true;
    if (working_) return;
    working_ = true;
  }
  const bool posted = context_.workers.post([self = shared_from_this()] { self->work(); });
  if (posted) return;
  const std::lock_guard lock(mutex_);
  working_ = false;
}

void BatchRunner::work() {
  for (;;) {
    while (context_.readiness.state().ready && take_one()) {
    }
    const std::lock_guard lock(mutex_);
    working_ = std::exchange(again_, false);
    if (!working_) return;
  }
}

// Returns whether there may be more to do now.
bool BatchRunner::take_one() {
  {
    const std::lock_guard lock(mutex_);
    if (paused_ || running_.size() >= kAtOnce) return false;
  }
  Result<std::optional<service::BatchWork>> work = context_.batches->take(now_ms());
  if (!work.ok()) {
    log::warn("[batches] {}", work.error().message);
    return false;
  }
  if (!*work) return false;
  std::shared_ptr<Caller> caller;
  {
    const std::lock_guard lock(mutex_);
    running_[{(*work)->batch, (*work)->place}] = nullptr;
    if (const auto owner = callers_.find((*work)->batch); owner != callers_.end())
      caller = owner->second;
  }
  answer_message(
      context_, seal_,
      std::make_shared<BatchExchange>(shared_from_this(), std::move(**work), std::move(caller)),
      Origin::kBatch);
  return true;
}

void BatchRunner::own(const std::string& batch, std::shared_ptr<Caller> caller) {
  const std::lock_guard lock(mutex_);
  if (caller == nullptr) {
    callers_.erase(batch);
  } else {
    callers_[batch] = std::move(caller);
  }
}

void BatchRunner::set_canceller(const Key& key, std::function<void()> canceller) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(key);
    if (found != running_.end()) found->second = canceller;
  }
  // A cancel() that came between the taking and this has not seen the canceller.
  const Result<service::Batch> batch = context_.batches->get(key.first);
  if (canceller && batch.ok() && batch->cancelled_ms > 0) canceller();
}

void BatchRunner::cancel(const std::string& batch) {
  std::vector<std::function<void()>> cancellers;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, canceller] : running_) {
      if (key.first == batch && canceller) cancellers.push_back(canceller);
    }
  }
  for (const auto& canceller : cancellers) canceller();
}

void BatchRunner::ended(const service::BatchWork& work, const Response& response) {
  service::BatchStore& store = *context_.batches;
  const Result<service::Batch> batch = store.get(work.batch);
  const bool passing = is_passing(response.status);
  const bool cancelled =
      response.status == 499 || (batch.ok() && batch->cancelled_ms > 0 && response.status != 200);
  Result<void> noted;
  if (cancelled) {
    noted =
        store.finish(work, service::BatchOutcome::kCanceled, R"({"type":"canceled"})", now_ms());
  } else if (passing) {
    noted = store.put_back(work);
  } else {
    const auto outcome = response.status == 200 ? service::BatchOutcome::kSucceeded
                                                : service::BatchOutcome::kErrored;
    noted = store.finish(work, outcome, result_json(response), now_ms());
  }
  if (!noted.ok()) log::warn("[batches] a result is lost: {}", noted.error().message);
  const Result<service::Batch> now = store.get(work.batch);
  const bool over = !now.ok() || now->ended_ms > 0;
  {
    const std::lock_guard lock(mutex_);
    running_.erase({work.batch, work.place});
    if (over) callers_.erase(work.batch);
    if (passing) paused_ = true;  // until the next sign of interest
  }
  if (!passing) kick();
}

}  // namespace pippin::api::anthropic
