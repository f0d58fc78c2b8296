#include "http/answer.h"

#include <utility>

#include "base/check.h"

namespace pippin::http {

bool BodyBudget::take(const std::string& owner, size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = bytes_of_.find(owner);
  const size_t theirs = found == bytes_of_.end() ? 0 : found->second;
  if (bytes > bytes_max_ - bytes_ || theirs + bytes > bytes_max_ / 4 * 3) return false;
  bytes_ += bytes;
  bytes_of_[owner] = theirs + bytes;
  return true;
}

void BodyBudget::give_back(const std::string& owner, size_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ -= bytes;
  const auto found = bytes_of_.find(owner);
  if ((found->second -= bytes) == 0) bytes_of_.erase(found);
}

BodyLease::BodyLease(BodyLease&& other) noexcept
    : budget_(std::move(other.budget_)),
      owner_(std::move(other.owner_)),
      bytes_(std::exchange(other.bytes_, 0)) {}

BodyLease& BodyLease::operator=(BodyLease&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(owner_, other.owner_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

bool BodyLease::grow_to(size_t bytes) {
  if (bytes <= bytes_) return true;
  if (!budget_->take(owner_, bytes - bytes_)) return false;
  bytes_ = bytes;
  return true;
}

std::shared_ptr<void> BodyLease::reserve(size_t bytes) const {
  auto more = std::make_shared<BodyLease>(budget_, owner_);
  if (!more->grow_to(bytes)) return nullptr;
  return more;
}

void BodyLease::release() {
  if (bytes_ > 0) budget_->give_back(owner_, std::exchange(bytes_, 0));
}

Answer::Answer(api::Request request, BodyLease lease, size_t stream_bytes_max,
               std::function<void()> wake)
    : request_(std::move(request)),
      lease_(std::move(lease)),
      stream_bytes_max_(stream_bytes_max),
      wake_(std::move(wake)) {}

void Answer::wake_locked() {
  if (wake_pending_ || !wake_) return;
  wake_pending_ = true;
  wake_();
}

void Answer::respond(api::Response response) {
  std::lock_guard lock(mutex_);
  CHECK(phase_ == Phase::kPending, "respond() after an answer was begun");
  phase_ = Phase::kResponded;
  head_ = std::move(response);
  wake_locked();
}

void Answer::start_stream(api::Response head) {
  std::lock_guard lock(mutex_);
  CHECK(phase_ == Phase::kPending, "start_stream() after an answer was begun");
  phase_ = Phase::kStreaming;
  streams_ = true;
  head_ = std::move(head);
  wake_locked();
}

bool Answer::write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  CHECK(phase_ == Phase::kStreaming, "write() outside a stream");
  if (gone_ || overflowed()) return false;
  if (bytes.empty()) return true;
  const size_t queued = queued_bytes();
  // One write of any size passes into an empty queue, so a large event is never refused for its
  // size.
  if (queued > 0 && queued + bytes.size() > stream_bytes_max_) {
    overflowed_ = true;
    wake_pending_ = false;
    wake_locked();
    return false;
  }
  bytes_.append(bytes);
  written_ = true;
  queued_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
  wake_locked();
  return true;
}

void Answer::finish() {
  std::lock_guard lock(mutex_);
  CHECK(phase_ == Phase::kStreaming, "finish() outside a stream");
  phase_ = Phase::kFinished;
  wake_locked();
}

void Answer::on_disconnect(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::kPending && phase_ != Phase::kStreaming) return;
    if (!gone_) {
      std::swap(on_disconnect_, callback);  // the old one dies outside the lock
      return;
    }
  }
  callback();
}

void Answer::on_drained(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  if (!wake_) return;
  std::swap(on_drained_, callback);
  // The queue may have emptied while the writer was deciding to wait: tell it, from the I/O thread.
  if (written_ && queued_bytes() == 0) {
    drain_due_ = true;
    wake_locked();
  }
}

void Answer::on_heartbeat(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  if (wake_) std::swap(on_heartbeat_, callback);
}

void Answer::abandon() {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::kPending && phase_ != Phase::kStreaming) return;
  phase_ = Phase::kAbandoned;
  wake_locked();
}

Answer::Output Answer::take() {
  Output output;
  std::function<void()> drained;
  {
    std::lock_guard lock(mutex_);
    wake_pending_ = false;
    output.streams = streams_;
    output.finished = phase_ == Phase::kResponded || phase_ == Phase::kFinished;
    output.abandoned = phase_ == Phase::kAbandoned;
    output.head = std::exchange(head_, std::nullopt);
    output.bytes = std::exchange(bytes_, {});
    if (std::exchange(drain_due_, false) && queued_bytes() == 0) drained = on_drained_;
  }
  if (drained) drained();
  return output;
}

void Answer::taken_by_socket(size_t bytes) {
  std::function<void()> drained;
  {
    std::lock_guard lock(mutex_);
    const size_t before = queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    if (bytes > 0 && before == bytes) {
      drain_due_ = false;
      drained = on_drained_;
    }
  }
  if (drained) drained();
}

void Answer::heartbeat_sent() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    callback = on_heartbeat_;
  }
  if (callback) callback();
}

bool Answer::client_gone() {
  std::function<void()> callback;
  bool cut = false;
  {
    std::lock_guard lock(mutex_);
    if (gone_) return false;
    gone_ = true;
    cut = phase_ == Phase::kStreaming;
    if (cut || phase_ == Phase::kPending) std::swap(callback, on_disconnect_);
  }
  if (callback) callback();
  return cut;
}

void Answer::detach() {
  std::function<void()> disconnect;
  std::function<void()> drained;
  std::function<void()> silent;
  std::function<void()> wake;
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    std::swap(disconnect, on_disconnect_);
    std::swap(drained, on_drained_);
    std::swap(silent, on_heartbeat_);
    std::swap(wake, wake_);
  }
  // What the callbacks hold dies here, outside the lock: it may hold the last handle.
}

}  // namespace pippin::http
