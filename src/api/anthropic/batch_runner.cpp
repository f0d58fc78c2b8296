#include "api/anthropic/batch_runner.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <vector>

#include "api/anthropic/errors.h"
#include "base/alarm.h"
#include "base/log.h"
#include "service/access/authenticator.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

constexpr size_t kAtOnce = 4;  // so many fill a step's leftover, and leave room for others

constexpr int kTooManyRequests = 429;  // of this key
constexpr auto kTryAgain = std::chrono::seconds(1);

// What is not the request's own fault, and may be otherwise later: it is taken up again.
bool is_passing(const Response& response) {
  const int status = response.status;
  return (status == 503 || status == 529 || status == kTooManyRequests) && may_retry(response);
}

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

Request request_of(const service::BatchWork& work, std::shared_ptr<RequestContext> caller) {
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
                std::shared_ptr<RequestContext> caller)
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

BatchRunner::BatchRunner(const Context& context, Handler answer)
    : context_(context), answer_(std::move(answer)) {}

void BatchRunner::kick() {
  {
    const std::lock_guard lock(mutex_);
    again_ = true;
    if (working_) return;
    working_ = true;
  }
  // One job for all batches: its place is its own.
  if (context_.workers.post([self = shared_from_this()] { self->work(); }, {{}, 0, true})) return;
  const std::lock_guard lock(mutex_);
  working_ = false;
}

void BatchRunner::work() {
  for (;;) {
    if (context_.readiness.state().ready) end_revoked();
    while (context_.readiness.state().ready && take_one()) {
    }
    {
      const std::lock_guard lock(mutex_);
      working_ = std::exchange(again_, false);
      if (working_) continue;
    }
    // Batches that were put back become due, others expire, other processes leave theirs.
    const Result<bool> open = context_.batches->has_open();
    if (!open.ok() || *open) try_later();
    return;
  }
}

// On whose behalf a batch is worked on. Null: nobody's.
Result<std::shared_ptr<RequestContext>> BatchRunner::holder_of(const std::string& key_id) {
  if (key_id.empty() || context_.keeper == nullptr) return std::shared_ptr<RequestContext>();
  return context_.keeper->resume(key_id);
}

void BatchRunner::end_revoked() {
  service::BatchStore& store = *context_.batches;
  const Result<std::vector<std::string>> owners = store.owners();
  if (!owners.ok()) return log::warn("[batches] {}", owners.error().message);
  for (const std::string& key : *owners) {
    const Result<std::shared_ptr<RequestContext>> holder = holder_of(key);
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

void BatchRunner::try_later() {
  if (context_.alarm == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(armed_, true)) return;
  }
  context_.alarm->in(kTryAgain, [weak = weak_from_this()] {
    const std::shared_ptr<BatchRunner> self = weak.lock();
    if (self == nullptr) return;
    {
      const std::lock_guard lock(self->mutex_);
      self->armed_ = false;
    }
    const bool ready = self->context_.readiness.state().ready;
    if (!ready || !self->context_.workers.post([self] { self->try_again(); })) self->try_later();
  });
}

void BatchRunner::try_again() {
  std::map<Key, Save> unsaved;
  {
    const std::lock_guard lock(mutex_);
    unsaved = std::exchange(unsaved_, {});
  }
  for (const auto& [key, again] : unsaved) save(key, again);
  kick();
}

// Notes how a request has ended, now or as soon as the store can be written.
void BatchRunner::save(const Key& key, const Save& save) {
  if (const Result<void> saved = save(); !saved.ok()) {
    {
      const std::lock_guard lock(mutex_);
      unsaved_[key] = save;
    }
    return try_later();
  }
  const std::lock_guard lock(mutex_);
  running_.erase(key);
}

// Returns whether there may be more to do now.
bool BatchRunner::take_one() {
  std::vector<std::string> resting;
  {
    const std::lock_guard lock(mutex_);
    if (running_.size() >= kAtOnce) return false;
    resting = resting_locked();
  }
  Result<std::optional<service::BatchWork>> work = context_.batches->take(now_ms(), resting);
  if (!work.ok()) {
    log::warn("[batches] {}", work.error().message);
    return false;
  }
  if (!*work) return false;
  Result<std::shared_ptr<RequestContext>> holder = holder_of((*work)->key_id);
  if (!holder.ok()) {
    turn_away(**work, holder.error());
    return true;
  }
  {
    const std::lock_guard lock(mutex_);
    running_[{(*work)->batch, (*work)->place}] = nullptr;
  }
  answer_(
      std::make_shared<BatchExchange>(shared_from_this(), std::move(**work), *std::move(holder)));
  return true;
}

// Ends what nobody may ask for any more; puts back what cannot be decided now.
void BatchRunner::turn_away(const service::BatchWork& work, const Error& error) {
  service::BatchStore* store = context_.batches;
  const Key key{work.batch, work.place};
  {
    const std::lock_guard lock(mutex_);
    running_[key] = nullptr;
  }
  if (error.code == Code::kUnauthenticated) {
    return save(key, [store, work] {
      return store->finish(work, service::BatchOutcome::kCanceled, kCanceledJson, now_ms());
    });
  }
  log::warn("[batches] {}", error.message);
  save(key, [store, work] { return store->put_back(work, now_ms()); });
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
  service::BatchStore* store = context_.batches;
  const Result<service::Batch> batch = store->get(work.batch);
  const bool cancelled =
      response.status == 499 || (batch.ok() && batch->cancelled_ms > 0 && response.status != 200);
  const Key key{work.batch, work.place};
  if (!cancelled && is_passing(response)) {
    if (response.status == kTooManyRequests) {
      const std::lock_guard lock(mutex_);
      resting_[work.key_id] = now_ms() + retry_after_ms(response);
    }
    save(key, [store, work] { return store->put_back(work, now_ms()); });
    return kick();
  }
  using service::BatchOutcome;
  const BatchOutcome outcome = cancelled                ? BatchOutcome::kCanceled
                               : response.status == 200 ? BatchOutcome::kSucceeded
                                                        : BatchOutcome::kErrored;
  const std::string result = cancelled ? kCanceledJson : result_json(response);
  save(key,
       [store, work, outcome, result] { return store->finish(work, outcome, result, now_ms()); });
  kick();
}

}  // namespace pippin::api::anthropic
