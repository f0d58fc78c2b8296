// Answer: one request's answer, written by a handler on any thread and sent by a connection's I/O
// thread.
// Owner: shared by the connection and the handler's handle. Thread: any; its own lock. Knows no
// sockets.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "api/exchange.h"

namespace pippin::http {

/// A bound on the bytes of all request bodies in memory, of which one owner may have three
/// quarters. Thread: any.
class BodyBudget {
 public:
  explicit BodyBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// Returns false, taking nothing, if `bytes` more would pass the bound of all or of the owner.
  bool take(const std::string& owner, size_t bytes);
  void give_back(const std::string& owner, size_t bytes);

 private:
  const size_t bytes_max_;
  std::mutex mutex_;
  size_t bytes_ = 0;
  std::map<std::string, size_t> bytes_of_;  // of owners that have some
};

/// What one request's body holds of the budget; given back at destruction.
class BodyLease {
 public:
  /// `owner`: a key's id, else an address.
  BodyLease(std::shared_ptr<BodyBudget> budget, std::string owner)
      : budget_(std::move(budget)), owner_(std::move(owner)) {}
  ~BodyLease() { release(); }
  BodyLease(BodyLease&& other) noexcept;
  BodyLease& operator=(BodyLease&& other) noexcept;

  /// Returns false if the budget has no room for a body of `bytes` in all.
  bool grow_to(size_t bytes);
  /// Takes so many bytes more for the owner, until the returned handle is destroyed. Null: the
  /// budget has no room.
  std::shared_ptr<void> reserve(size_t bytes) const;
  void release();

 private:
  std::shared_ptr<BodyBudget> budget_;
  std::string owner_;
  size_t bytes_ = 0;
};

class Answer {
 public:
  /// What the connection has to do next. Each part is handed out once.
  struct Output {
    std::optional<api::Response> head;
    std::string bytes;       // of a stream
    bool streams = false;    // false: `head` is the whole answer
    bool finished = false;   // nothing follows
    bool abandoned = false;  // nothing follows: the handler dropped its exchange before the end
  };

  /// `wake` asks the connection to call take() soon; it is called under this object's lock and must
  /// only post.
  Answer(api::Request request, BodyLease lease, size_t stream_bytes_max,
         std::function<void()> wake);

  // The handler's side: api::Exchange says what these do.
  const api::Request& request() const { return request_; }
  void respond(api::Response response);
  void start_stream(api::Response head);
  bool write(std::string_view bytes);
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  void finish();
  void on_disconnect(std::function<void()> callback);
  void on_drained(std::function<void()> callback);
  void on_heartbeat(std::function<void()> callback);
  void abandon();
  std::shared_ptr<void> reserve(size_t bytes) const { return lease_.reserve(bytes); }

  // The connection's side, on its I/O thread.
  Output take();
  /// The socket has taken this many of the stream's bytes. Calls on_drained if they were the last.
  void taken_by_socket(size_t bytes);
  /// Whether the client is too slow: more bytes wait than one stream may hold.
  bool overflowed() const { return overflowed_.load(std::memory_order_relaxed); }
  /// A heartbeat was sent. Calls on_heartbeat.
  void heartbeat_sent();
  /// The client has left. Calls on_disconnect unless the handler was done. Returns whether a stream
  /// was cut.
  bool client_gone();
  /// The connection is done with this answer: no wake and no callback from now on.
  void detach();

 private:
  enum class Phase { kPending, kResponded, kStreaming, kFinished, kAbandoned };

  void wake_locked();

  const api::Request request_;
  const BodyLease lease_;
  const size_t stream_bytes_max_;
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<bool> overflowed_{false};

  std::mutex mutex_;
  std::function<void()> wake_;
  bool wake_pending_ = false;
  Phase phase_ = Phase::kPending;
  bool gone_ = false;
  bool drain_due_ = false;  // on_drained was set after the queue had emptied
  bool streams_ = false;
  bool written_ = false;
  std::optional<api::Response> head_;
  std::string bytes_;
  std::function<void()> on_disconnect_;
  std::function<void()> on_drained_;
  std::function<void()> on_heartbeat_;
};

/// The handler's handle: the last one to go abandons an unfinished answer.
class AnswerExchange final : public api::Exchange {
 public:
  explicit AnswerExchange(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  ~AnswerExchange() override { answer_->abandon(); }

  const api::Request& request() const override { return answer_->request(); }
  void respond(api::Response response) override { answer_->respond(std::move(response)); }
  void start_stream(api::Response head) override { answer_->start_stream(std::move(head)); }
  bool write(std::string_view bytes) override { return answer_->write(bytes); }
  size_t queued_bytes() const override { return answer_->queued_bytes(); }
  void finish() override { answer_->finish(); }
  void on_disconnect(std::function<void()> f) override { answer_->on_disconnect(std::move(f)); }
  void on_drained(std::function<void()> f) override { answer_->on_drained(std::move(f)); }
  void on_heartbeat(std::function<void()> f) override { answer_->on_heartbeat(std::move(f)); }
  std::shared_ptr<void> reserve(size_t bytes) override { return answer_->reserve(bytes); }

 private:
  const std::shared_ptr<Answer> answer_;
};

}  // namespace pippin::http
