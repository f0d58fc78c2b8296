#include "api/openai/responses/runs.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "api/openai/responses/writer.h"
#include "service/serial_task.h"

namespace pippin::api::openai::responses {
namespace {

constexpr size_t kEventBytesMax = size_t{32} << 20;  // of one run
constexpr size_t kEndedRunsKept = 32;
constexpr size_t kFollowBytes = 64 << 10;  // written at once

}  // namespace

std::string Run::body() const {
  const std::lock_guard lock(mutex_);
  return body_json_;
}

bool Run::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool Run::discarded() const {
  const std::lock_guard lock(mutex_);
  return discarded_;
}

void Run::update(const std::string& body_json) {
  const std::lock_guard lock(mutex_);
  if (!ended_) body_json_ = body_json;
}

void Run::cancel() {
  std::function<void()> canceller;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    canceller = canceller_;
  }
  if (canceller) canceller();
}

void Run::discard() {
  {
    const std::lock_guard lock(mutex_);
    discarded_ = true;
  }
  cancel();
}

size_t Run::events(size_t from, size_t bytes_max, std::string& out) const {
  const std::lock_guard lock(mutex_);
  const size_t begin = out.size();
  while (from < events_.size() && out.size() - begin < bytes_max) out += events_[from++];
  return from;
}

size_t Run::first_event() const {
  const std::lock_guard lock(mutex_);
  return first_event_;
}

void Run::subscribe(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) subscribers_.push_back(callback);
  }
  callback();
}

void Run::notify() const {
  std::vector<std::function<void()>> subscribers;
  {
    const std::lock_guard lock(mutex_);
    subscribers = subscribers_;
  }
  for (const auto& subscriber : subscribers) subscriber();
}

void Run::append(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    while (!bytes.empty()) {
      const size_t end = std::min(bytes.find("\n\n"), bytes.size() - 2) + 2;
      events_bytes_ += end;
      events_.emplace_back(bytes.substr(0, end));
      bytes.remove_prefix(end);
    }
    for (; events_bytes_ > kEventBytesMax && first_event_ + 1 < events_.size(); ++first_event_)
      events_bytes_ -= std::exchange(events_[first_event_], {}).size();
  }
  notify();
}

void Run::set_canceller(std::function<void()> canceller) {
  bool now = false;
  {
    const std::lock_guard lock(mutex_);
    canceller_ = canceller;
    now = cancelled_;
  }
  if (now) canceller();
}

// Takes the place of a client: it keeps what is written, and leaves when the run is cancelled.
class RunExchange final : public Exchange {
 public:
  RunExchange(std::shared_ptr<Run> run, service::Ongoing::Ticket ticket)
      : run_(std::move(run)), ticket_(std::move(ticket)) {}
  ~RunExchange() override { end(); }

  const Request& request() const override { return request_; }
  void respond(Response) override { end(); }
  void start_stream(Response) override {}
  bool write(std::string_view bytes) override {
    run_->append(bytes);
    return true;
  }
  size_t queued_bytes() const override { return 0; }
  void finish() override { end(); }
  void on_disconnect(std::function<void()> callback) override {
    run_->set_canceller(std::move(callback));
  }
  void on_drained(std::function<void()>) override {}

 private:
  void end() {
    {
      const std::lock_guard lock(run_->mutex_);
      if (run_->ended_) return;
      run_->ended_ = true;
      run_->canceller_ = nullptr;
    }
    run_->notify();
    ticket_ = nullptr;
    const std::lock_guard lock(run_->mutex_);
    run_->subscribers_.clear();
  }

  const Request request_;
  const std::shared_ptr<Run> run_;
  service::Ongoing::Ticket ticket_;
};

std::shared_ptr<Exchange> Run::exchange_of(std::shared_ptr<Run> run,
                                           service::Ongoing::Ticket ticket) {
  return std::make_shared<RunExchange>(std::move(run), std::move(ticket));
}

void Runs::add(const std::string& id, std::shared_ptr<Run> run) {
  const std::lock_guard lock(mutex_);
  runs_[id] = std::move(run);
  order_.push_back(id);
  size_t ended = 0;
  for (const auto& [unused, other] : runs_) ended += other->ended() ? 1 : 0;
  std::erase_if(order_, [&](const std::string& old) {
    const auto found = runs_.find(old);
    if (found == runs_.end()) return true;
    if (ended <= kEndedRunsKept || !found->second->ended()) return false;
    runs_.erase(found);
    --ended;
    return true;
  });
}

std::shared_ptr<Run> Runs::find(const std::string& id, const std::string& key_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(id);
  const bool theirs = found != runs_.end() && found->second->key_id() == key_id;
  return theirs ? found->second : nullptr;
}

void Runs::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  runs_.erase(id);
}

namespace {

class Follower final : public std::enable_shared_from_this<Follower> {
 public:
  Follower(const Context& context, std::shared_ptr<Exchange> exchange, std::shared_ptr<Run> run,
           size_t from)
      : context_(context), exchange_(std::move(exchange)), run_(std::move(run)), next_(from) {}

  // As in ResponseStream: the callbacks hold the task, the task knows the follower only weakly, and
  // the follower owns itself until its end.
  void start() {
    self_ = shared_from_this();
    task_ = std::make_shared<service::SerialTask>(context_.workers, [weak = weak_from_this()] {
      if (const std::shared_ptr<Follower> alive = weak.lock()) alive->step();
    });
    exchange_->start_stream({200, "text/event-stream", {}, {{"cache-control", "no-cache"}}});
    exchange_->on_drained([task = task_] { task->notify(); });
    exchange_->on_disconnect([task = task_, gone = gone_] {
      *gone = true;
      task->notify();
    });
    run_->subscribe([task = task_] { task->notify(); });
  }

 private:
  void step() {
    if (self_ == nullptr) return;  // ended before
    while (!*gone_) {
      if (exchange_->queued_bytes() > context_.stream_pause_bytes) return;  // on_drained notifies
      const bool ended = run_->ended();
      if (next_ < run_->first_event()) break;  // too slow: a stream with a gap would be a lie
      const size_t before = next_;
      std::string bytes;
      next_ = run_->events(next_, kFollowBytes, bytes);
      if (!bytes.empty() && !exchange_->write(bytes)) break;
      if (next_ != before) continue;
      if (!ended) return;  // the run's next event notifies
      if (wants_done_marker(*exchange_)) exchange_->write(kDoneMarker);
      break;
    }
    exchange_->finish();
    self_.reset();
  }

  const Context& context_;
  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<Run> run_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  size_t next_;
  std::shared_ptr<service::SerialTask> task_;
  std::shared_ptr<Follower> self_;
};

}  // namespace

void follow(const Context& context, std::shared_ptr<Exchange> exchange, std::shared_ptr<Run> run,
            size_t from) {
  std::make_shared<Follower>(context, std::move(exchange), std::move(run), from)->start();
}

}  // namespace pippin::api::openai::responses
