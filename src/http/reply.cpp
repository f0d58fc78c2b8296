// Connection: sending answers.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "http/access.h"
#include "http/connection.h"

namespace pippin::http {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kHeartbeat = ": keep-alive\n\n";
constexpr size_t kOutputBytesKept = 16 << 10;

SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

void Connection::on_wake() {
  if (phase_ != Phase::kAnswering || !answer_) return;
  if (answer_->overflowed()) {
    log::warn("[http] {} {}: the client reads too slowly, dropped", request_id_, path_);
    return close();
  }
  pump();
}

// Sends what the handler has produced since the last time.
void Connection::pump() {
  if (phase_ != Phase::kAnswering || writing_ || complete_ || !answer_) return;
  const auto answer = answer_;  // callbacks within take() may end this connection
  Answer::Output output = answer->take();
  if (phase_ != Phase::kAnswering) return;
  if (output.abandoned) {
    if (peer_closed_) return close();
    log::error("[http] {} {} {}: the handler dropped the exchange before the answer's end",
               request_id_, method_, path_);
    if (!output.streams)
      return send_failure(
          {500, fail(Code::kInternal, "[http] the request was dropped without an answer"), {}});
  }
  if (output.head && !output.streams) return send_whole(*output.head);
  if (output.head) begin_stream(*output.head);
  if (!streaming_) return;
  append_stream(output);
  if (!output_.empty() || complete_) return write_more();
  if (event_stream_ && options().heartbeat.count() > 0)
    set_deadline(last_write_ + options().heartbeat);
}

void Connection::append_stream(const Answer::Output& output) {
  if (!output.bytes.empty() && !head_only_) {
    payload_unsent_ = output.bytes.size();
    between_events_ = output.bytes.ends_with("\n\n");
    append_body(output.bytes);
  }
  complete_ = output.finished || output.abandoned || head_only_;
  if (output.abandoned) {
    close_after_ = true;  // without the last chunk: the client sees that its stream was cut
  } else if (complete_ && !http10_ && !head_only_) {
    output_.append(kLastChunk);
  }
}

void Connection::append_body(std::string_view bytes) {
  if (http10_) {
    output_.append(bytes);
  } else {
    append_chunk(output_, bytes);
  }
}

void Connection::send_failure(const Failure& failure) {
  api::Response response = options().error_form(path_, failure.status, failure.error);
  for (const auto& header : failure.headers) response.headers.push_back(header);
  if (failure.status == 503 || failure.status == 429)
    response.headers.emplace_back("Retry-After",
                                  std::to_string(std::max(1, failure.error.retry_after_s)));
  send_whole(response);
}

void Connection::send_whole(const api::Response& response) {
  phase_ = Phase::kAnswering;
  set_idle(std::nullopt);
  status_ = response.status;
  Framing how = framing();
  how.content_length = response.body.size();
  append_head(output_, response, how);
  if (!head_only_ && response.status != 204 && response.status != 304)
    output_.append(response.body);
  complete_ = true;
  if (!writing_) write_more();  // else "100 Continue" is still going out, and this follows it
}

void Connection::begin_stream(const api::Response& head) {
  status_ = head.status;
  streaming_ = true;
  event_stream_ = is_event_stream(head);
  heartbeat_ = head.heartbeat.empty() ? std::string(kHeartbeat) : head.heartbeat;
  if (http10_) close_after_ = true;  // an HTTP/1.0 stream ends with its connection
  Framing how = framing();
  how.chunked = !http10_;
  how.has_length = false;
  append_head(output_, head, how);
  if (!head.body.empty() && !head_only_) append_body(head.body);
}

// Not through output_: an early answer may fill it before this is written.
void Connection::send_continue() {
  if (tls_) {  // so few bytes fit into an empty socket buffer
    if (tls_->write(kContinue.data(), kContinue.size()).bytes != kContinue.size()) close();
    return;
  }
  writing_ = true;
  asio::async_write(socket_, asio::buffer(kContinue),
                    [self = shared_from_this()](ErrorCode ec, size_t) {
                      self->writing_ = false;
                      if (self->phase_ == Phase::kClosed) return;
                      if (ec) return self->close();
                      self->complete_ ? self->write_more() : self->pump();
                    });
}

// Keeps proxies and clients from closing a silent stream. Never inside an event.
void Connection::send_heartbeat() {
  if (!streaming_ || !event_stream_ || complete_) return;
  if (!between_events_) {
    last_write_ = now();
    return set_deadline(last_write_ + options().heartbeat);
  }
  append_body(heartbeat_);
  answer_->heartbeat_sent();
  write_more();
}

Framing Connection::framing() const {
  Framing how;
  how.http10 = http10_;
  how.close = close_after_ || io_thread_.shared.draining;
  how.date = std::time(nullptr);
  how.request_id = request_id_;
  how.allow_origin = allow_origin_;
  if (caller_ != nullptr) how.limits = caller_->headers();
  return how;
}

void Connection::write_more() {
  writing_ = true;
  set_deadline(now() + options().write_timeout);
  if (tls_) return write_tls();
  socket_.async_write_some(
      asio::buffer(output_.data() + sent_, output_.size() - sent_),
      [self = shared_from_this()](ErrorCode ec, size_t n) { self->on_written(ec, n); });
}

void Connection::write_tls() {
  const TlsStream::Moved moved = tls_->write(output_.data() + sent_, output_.size() - sent_);
  if (moved.wants != TlsStream::Wants::kNothing) {
    const bool wants_write = moved.wants == TlsStream::Wants::kWrite;
    return socket_.async_wait(wants_write ? tcp::socket::wait_write : tcp::socket::wait_read,
                              [self = shared_from_this()](ErrorCode ec) {
                                if (ec) return self->on_written(ec, 0);
                                if (self->phase_ != Phase::kClosed) self->write_tls();
                              });
  }
  ErrorCode ec = moved.error;
  if (!ec && moved.bytes == 0) ec = asio::error::eof;
  asio::post(socket_.get_executor(),
             [self = shared_from_this(), ec, bytes = moved.bytes] { self->on_written(ec, bytes); });
}

void Connection::on_written(ErrorCode ec, size_t bytes) {
  writing_ = false;
  if (phase_ == Phase::kClosed) return;
  if (ec) return close();
  sent_ += bytes;
  bytes_sent_ += bytes;
  const size_t left = output_.size() - sent_;
  const size_t taken = payload_unsent_ - std::min(payload_unsent_, left);
  payload_unsent_ -= taken;
  if (left > 0) {
    if (taken > 0) answer_->taken_by_socket(taken);
    if (phase_ != Phase::kClosed) write_more();
    return;
  }
  output_.clear();
  if (output_.capacity() > kOutputBytesKept) output_.shrink_to_fit();
  sent_ = 0;
  last_write_ = now();
  set_deadline(SteadyTime::max());
  if (taken > 0) answer_->taken_by_socket(taken);
  if (phase_ != Phase::kAnswering) return;
  complete_ ? end_exchange() : pump();
}

void Connection::end_exchange() {
  log_access(status_, answer_.get());
  release_caller();
  if (const auto answer = std::exchange(answer_, nullptr)) {
    if (head_only_) answer->client_gone();  // HEAD on a stream: nobody will read the rest
    answer->detach();
  }
  if (close_after_ || io_thread_.shared.draining) return linger();
  begin_request();
}

// Ends the key's request before the client can send its next one.
void Connection::release_caller() {
  if (const auto caller = std::exchange(caller_, nullptr)) caller->leave();
}

void Connection::log_access(int status, const Answer* answer) const {
  const auto ms = std::chrono::duration<double, std::milli>(now() - request_began_).count();
  const auto level = is_probe(path_) ? spdlog::level::debug : spdlog::level::info;
  spdlog::log(level, "{} {} {} {:.1f} ms {} B {}", method_.empty() ? "-" : method_,
              path_.empty() ? "-" : std::string_view(path_).substr(0, 200), status, ms, bytes_sent_,
              request_id_);
  if (!options().audit) return;
  AuditEntry entry{request_id_, {}, peer_, method_, path_, {}, status, ms, bytes_sent_, {}};
  if (answer != nullptr) entry.body = answer->request().body;
  if (caller_ != nullptr) {
    entry.key_id = caller_->key_id();
    entry.tokens = caller_->taken();
  }
  options().audit(entry);
}

}  // namespace pippin::http
