#include "api/anthropic/batch_runner.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <vector>

#include "api/anthropic/answer_message.h"
#include "base/log.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

constexpr size_t kAtOnce = 4;  // so many fill a step's leftover, and leave room for others

constexpr int kTooManyRequests = 429;  // of this key

// What is not the request's own fault: it is taken up again later.
bool is_passing(int status) { return status == 503 || status == 529 || status == kTooManyRequests; }

constexpr const char* kCanceledJson = R"({"type":"canceled"})";

// When an answer says that the request may be tried again.
int64_t retry_after_ms(const Response& response) {
  for (const auto& [name, value] : response.headers) {
    int64_t seconds = 0;
    const char* const end = value.data() + value.size();
    if (name == "retry-after" && std::from_chars(value.data(), end, seconds).ec == std::errc())
      return 1000 * seconds;
  }
  return 1000;
}

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
    if (context_.readiness.state().ready) end_revoked();
    while (context_.readiness.state().ready && take_one()) {
    }
    const std::lock_guard lock(mutex_);
    working_ = std::exchange(again_, false);
    if (!working_) return;
  }
}

// On whose behalf a batch is worked on. Null: nobody's.
Result<std::shared_ptr<Caller>> BatchRunner::holder_of(const std::string& key_id) {
  if (key_id.empty() || context_.keeper == nullptr) return std::shared_ptr<Caller>();
  return context_.keeper->resume(key_id);
}

void BatchRunner::end_revoked() {
  service::BatchStore& store = *context_.batches;
  const Result<std::vector<std::string>> owners = store.owners();
  if (!owners.ok()) return log::warn("[batches] {}", owners.error().message);
  for (const std::string& key : *owners) {
    const Result<std::shared_ptr<Caller>> holder = holder_of(key);
    if (holder.ok() || holder.error().code != Code::kUnauthenticated) continue;
    const Result<std::vector<service::Batch>> batches = store.list(key);
    for (size_t i = 0; batches.ok() && i < batches->size(); ++i) {
      const service::Batch& batch = (*batches)[i];
      if (batch.ended_ms > 0 || batch.cancelled_ms > 0) continue;
      log::info("[batches] {} is cancelled: its key is not valid any more", batch.id);
      const Result<service::Batch> cancelled = store.cancel(batch.id, now_ms());
      if (!cancelled.ok()) log::warn("[batches] {}", cancelled.error().message);
      cancel(batch.id);
    }
  }
}

std::vector<std::string> BatchRunner::resting_locked() {
  const int64_t now = now_ms();
  std::erase_if(resting_, [&](const auto& entry) { return entry.second <= now; });
  std::vector<std::string> keys;
  for (const auto& [key, until] : resting_) keys.push_back(key);
  return keys;
}

// Returns whether there may be more to do now.
bool BatchRunner::take_one() {
  std::vector<std::string> resting;
  {
    const std::lock_guard lock(mutex_);
    if (paused_ || running_.size() >= kAtOnce) return false;
    resting = resting_locked();
  }
  Result<std::optional<service::BatchWork>> work = context_.batches->take(now_ms(), resting);
  if (!work.ok()) {
    log::warn("[batches] {}", work.error().message);
    return false;
  }
  if (!*work) return false;
  Result<std::shared_ptr<Caller>> holder = holder_of((*work)->key_id);
  if (!holder.ok()) return turn_away(**work, holder.error());
  {
    const std::lock_guard lock(mutex_);
    running_[{(*work)->batch, (*work)->place}] = nullptr;
  }
  answer_message(
      context_, seal_,
      std::make_shared<BatchExchange>(shared_from_this(), std::move(**work), *std::move(holder)),
      Origin::kBatch);
  return true;
}

// Ends what nobody may ask for any more; puts back what cannot be decided now. Returns whether
// there may be more to do.
bool BatchRunner::turn_away(const service::BatchWork& work, const Error& error) {
  service::BatchStore& store = *context_.batches;
  const bool revoked = error.code == Code::kUnauthenticated;
  const Result<void> noted =
      revoked ? store.finish(work, service::BatchOutcome::kCanceled, kCanceledJson, now_ms())
              : store.put_back(work);
  if (!noted.ok()) log::warn("[batches] {}", noted.error().message);
  if (!revoked) log::warn("[batches] {}", error.message);
  return revoked && noted.ok();
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
    noted = store.finish(work, service::BatchOutcome::kCanceled, kCanceledJson, now_ms());
  } else if (passing) {
    noted = store.put_back(work);
  } else {
    const auto outcome = response.status == 200 ? service::BatchOutcome::kSucceeded
                                                : service::BatchOutcome::kErrored;
    noted = store.finish(work, outcome, result_json(response), now_ms());
  }
  if (!noted.ok()) log::warn("[batches] a result is lost: {}", noted.error().message);
  const bool spent = response.status == kTooManyRequests;
  const bool full = passing && !spent;
  {
    const std::lock_guard lock(mutex_);
    running_.erase({work.batch, work.place});
    if (spent) resting_[work.key_id] = now_ms() + retry_after_ms(response);
    if (full) paused_ = true;  // until the next sign of interest
  }
  if (!full) kick();
}

}  // namespace pippin::api::anthropic
