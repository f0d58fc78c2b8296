#include "http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"
#include "http/access.h"

namespace pippin::http {
namespace {

namespace beast_http = boost::beast::http;

constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kBulkReadBytes = 64 << 10;
// A client that keeps sending a refused body gets to read the refusal only if we take what it
// sends.
constexpr size_t kLingerBytesMax = 256 << 20;
constexpr size_t kBodyBytesPerSecondMin = 16 << 10;
// A deadline that is seen this late was missed by the process, which was stopped, not by the
// client.
constexpr auto kLateDeadline = std::chrono::seconds(1);
// After such a deadline: time to read what the client has sent meanwhile.
constexpr auto kGrace = std::chrono::seconds(2);
constexpr int kLingerTimeoutsMax = 4;
// A chunk's line without extensions: "\r\n", a size of up to eight digits, "\r\n".
constexpr size_t kChunkLineBytes = 12;
// At the limit of connections, one that sends a body for longer than this may be closed for a new
// one.
constexpr auto kPromptBody = std::chrono::seconds(5);

SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

Connection::Connection(tcp::socket socket, IoThread& io_thread)
    : socket_(std::move(socket)),
      io_thread_(io_thread),
      lease_(io_thread.shared.bodies, {}),
      timer_(socket_.get_executor()) {}

void Connection::serve() {
  ErrorCode ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  const auto peer = socket_.remote_endpoint(ignored);
  if (!ignored) peer_ = peer.address().to_string();
  if (io_thread_.shared.tls != nullptr)
    tls_.emplace(*io_thread_.shared.tls, socket_.native_handle());
  begin_request();
  if (tls_) set_deadline(now() + options().header_timeout);
}

void Connection::refuse() {
  if (io_thread_.shared.tls != nullptr) return close();  // no plain text before a handshake
  ErrorCode ignored;
  socket_.non_blocking(true, ignored);
  close_after_ = true;
  request_id_ = make_request_id();
  request_began_ = now();
  send_failure({503,
                {Code::kOverloaded,
                 fmt::format("[http] expected at most {} connections, all are at work",
                             options().connections_max),
                 {}},
                {}});
}

void Connection::drain() {
  if (phase_ != Phase::kIdle || late_ || bytes_wait()) return;
  if (asked_) return close();
  // Its first request may be on the way (a load balancer's for /health): it is answered, but no
  // drain waits for it.
  late_ = true;
  Shared& shared = io_thread_.shared;
  const std::lock_guard lock(shared.mutex);
  ++shared.late;
  shared.connection_ended.notify_all();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  set_idle(std::nullopt);
  timer_.cancel();
  if (answer_) log_access(499, answer_.get());  // what nginx writes for a client that left
  ErrorCode ignored;
  socket_.close(ignored);
  leave_queue();
  if (const auto answer = std::exchange(answer_, nullptr)) {
    answer->client_gone();
    answer->detach();
  }
  release_caller();
  io_thread_.connections.erase(position_);
  Shared& shared = io_thread_.shared;
  const std::lock_guard lock(shared.mutex);
  --shared.connections;
  if (late_) --shared.late;
  shared.connection_ended.notify_all();
}

// --- Reading ---

void Connection::begin_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(options().header_bytes_max));
  parser_->body_limit(options().body_bytes_max);
  parser_->on_chunk_header(chunk_counter_);
  chunk_counter_.chunks = framing_bytes_ = 0;
  lease_.release();
  request_ = {};
  place_.reset();
  method_.clear();
  path_.clear();
  request_id_.clear();
  allow_origin_.clear();
  handler_ = nullptr;
  status_ = 0;
  bytes_sent_ = 0;
  head_only_ = http10_ = streaming_ = event_stream_ = complete_ = had_grace_ = false;
  between_events_ = true;
  phase_ = Phase::kIdle;
  set_idle(IoThread::kWaits);
  set_deadline(now() + options().idle_timeout);
  parse();
}

// Keeps the thread's lists of connections that can be closed for new ones.
void Connection::set_idle(std::optional<IoThread::Idleness> kind) {
  if (idle_) io_thread_.idle[idle_->kind].erase(std::exchange(idle_, std::nullopt)->position);
  if (!kind) return;
  auto& list = io_thread_.idle[*kind];
  idle_ = IdlePlace{*kind, list.insert(list.end(), this)};
}

bool Connection::sends_for_long() const {
  return phase_ == Phase::kBody && now() - body_began_ > kPromptBody;
}

// Whether the socket holds unread bytes. A waiting connection that is to end reads and answers
// these first.
bool Connection::bytes_wait() const {
  if (tls_ && tls_->pending()) return true;
  ErrorCode ec;
  return socket_.available(ec) > 0 && !ec;
}

// Waits until readable, so that idle connections hold no buffer, and input_ may change during the
// wait.
void Connection::read() {
  if (reading_ || phase_ == Phase::kClosed) return;
  reading_ = true;
  auto go_on = [self = shared_from_this()](ErrorCode ec) { self->on_readable(ec); };
  if (tls_ && tls_->pending()) {
    asio::post(socket_.get_executor(), [go_on = std::move(go_on)] { go_on({}); });
  } else {
    const bool wants_write = std::exchange(read_wants_write_, false);
    socket_.async_wait(wants_write ? tcp::socket::wait_write : tcp::socket::wait_read,
                       std::move(go_on));
  }
}

// Reads without waiting: would_block if nothing has come.
size_t Connection::receive(void* bytes, size_t size, ErrorCode& ec) {
  if (!tls_) return socket_.read_some(asio::buffer(bytes, size), ec);
  const TlsStream::Moved moved = tls_->read(bytes, size);
  if (!handshake_done_ && tls_->handshake_done()) {
    handshake_done_ = true;
    if (phase_ == Phase::kIdle) set_deadline(now() + options().idle_timeout);
  }
  read_wants_write_ = moved.wants == TlsStream::Wants::kWrite;
  ec = moved.error;
  if (moved.wants != TlsStream::Wants::kNothing) ec = asio::error::would_block;
  if (!ec && moved.bytes == 0) ec = asio::error::eof;
  return moved.bytes;
}

void Connection::on_readable(ErrorCode ec) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (!ec) {
    const bool bulk = phase_ == Phase::kBody || phase_ == Phase::kLingering;
    const auto room = input_.prepare(bulk ? kBulkReadBytes : kReadBytes);
    input_.commit(receive(room.data(), room.size(), ec));
  }
  if (ec == asio::error::would_block) return read();
  if (ec) return on_peer_end(ec);
  if (phase_ == Phase::kLingering) {
    linger();
  } else if (phase_ == Phase::kAnswering) {
    watch();
  } else {
    parse();
  }
}

// FIN before an answer's end counts as leaving, since a killed client looks like that: the handler
// is told, and a stream is cut. Any other answer is still sent, for clients that close their half
// early. A queued job is withdrawn if the workers are crowded.
void Connection::on_peer_end(ErrorCode ec) {
  if (phase_ != Phase::kAnswering || ec != asio::error::eof) return close();
  peer_closed_ = true;
  close_after_ = true;
  if (io_thread_.shared.workers->crowded()) leave_queue();
  if (answer_ && answer_->client_gone()) close();
}

void Connection::parse() {
  while (phase_ != Phase::kAnswering) {
    const bool more = phase_ == Phase::kBody ? parse_body() : parse_header();
    if (!more) return;
  }
}

// Returns whether parse() can go on at once.
bool Connection::parse_header() {
  const auto* bytes = static_cast<const char*>(input_.data().data());
  if (phase_ == Phase::kIdle) {
    // Some old clients end a body by an extra line break. Source: RFC 9112 section 2.2.
    const auto* end = bytes + input_.size();
    const auto* begin = std::find_if(bytes, end, [](char c) { return c != '\r' && c != '\n'; });
    input_.consume(static_cast<size_t>(begin - bytes));
    if (input_.size() > 0) {
      phase_ = Phase::kHeader;
      asked_ = true;
      request_began_ = now();
      set_deadline(request_began_ + options().header_timeout);
    }
  }
  if (input_.size() == 0) {
    read();
    return false;
  }
  if (!feed()) return false;
  if (!parser_->is_header_done()) return true;
  if (!adopt_head()) return false;
  if (auto failure = check_head()) {
    close_after_ = close_after_ || !parser_->is_done();  // the body stays unread
    send_failure(*failure);
    return false;
  }
  if (answer_preflight()) return false;
  request_.work_owner = caller_ != nullptr ? "key " + caller_->key_id() : peer_;
  lease_ = BodyLease(io_thread_.shared.bodies, request_.work_owner);
  phase_ = Phase::kBody;
  set_idle(IoThread::kSends);
  body_began_ = now();
  parser_->eager(true);
  set_deadline(body_began_ + options().body_timeout);
  if (!parser_->is_done() && input_.size() == 0 && request_.header("expect") != "") send_continue();
  return true;
}

bool Connection::parse_body() {
  if (parser_->is_done()) {
    dispatch();
    return false;
  }
  if (input_.size() == 0) {
    read();
    return false;
  }
  if (!feed()) return false;
  const size_t received = parser_->get().body().size();
  if (!lease_.grow_to(received)) {
    close_after_ = true;
    send_failure({503,
                  {Code::kOverloaded,
                   "[http] too many request bodies at once, here or of this client; try later",
                   {}},
                  {}});
    return false;
  }
  set_deadline(body_began_ + options().body_timeout +
               std::chrono::seconds(received / kBodyBytesPerSecondMin));
  return true;
}

// Gives the parser what has arrived. Returns false if it needs more (a read is begun) or has failed
// (answered).
bool Connection::feed() {
  ErrorCode ec;
  const size_t before = parser_->get().body().size();
  const size_t taken = parser_->put(input_.data(), ec);
  input_.consume(taken);
  if (phase_ == Phase::kBody) {
    framing_bytes_ += taken - (parser_->get().body().size() - before);
    if (over_framing()) {
      refuse_framing();
      return false;
    }
  }
  if (!ec) return true;
  if (ec == beast_http::error::need_more) {
    // parse_body() counts what was taken of a body before it reads on.
    if (phase_ == Phase::kBody && input_.size() == 0) return true;
    read();
    return false;
  }
  on_parse_error(ec);
  return false;
}

// The chunk lines and trailers of a body share the head's limit, unfinished lines included. A plain
// line for each chunk is free.
bool Connection::over_framing() const {
  const size_t begun = parser_->is_done() ? 0 : input_.size();
  return framing_bytes_ + begun >
         options().header_bytes_max + kChunkLineBytes * (chunk_counter_.chunks + 1);
}

void Connection::refuse_framing() {
  close_after_ = true;
  send_failure({413,
                {Code::kTooLarge,
                 fmt::format("[http] expected chunk extensions and trailers of at most {} bytes",
                             options().header_bytes_max),
                 {}},
                {}});
}

void Connection::on_parse_error(ErrorCode ec) {
  close_after_ = true;
  if (ec == beast_http::error::body_limit) {
    if (path_.empty()) {  // the header announced it: nothing is checked yet
      if (!adopt_head()) return;
      if (auto failure = check_head()) return send_failure(*failure);
    }
    return send_failure(
        {413,
         {Code::kTooLarge,
          fmt::format("[http] expected a body of at most {} bytes", options().body_bytes_max),
          {}},
         {}});
  }
  http10_ = false;
  if (request_id_.empty()) request_id_ = make_request_id();
  if (ec == beast_http::error::header_limit) {
    const auto* bytes = static_cast<const char*>(input_.data().data());
    const bool in_first_line =
        std::find(bytes, bytes + input_.size(), '\n') == bytes + input_.size();
    return send_failure(
        {in_first_line ? 414 : 431,
         {Code::kTooLarge,
          fmt::format("[http] expected a request line and headers of at most {} bytes",
                      options().header_bytes_max),
          {}},
         {}});
  }
  const int status = ec == beast_http::error::bad_version ? 505 : 400;
  send_failure({status,
                {Code::kInvalidArgument,
                 fmt::format("[http] expected an HTTP/1.1 request, came: {}", ec.message()),
                 {}},
                {}});
}

// Notices that the client leaves while an answer is made. Early bytes of a next request are kept up
// to a bound. Beyond it reading stops, and only a failing write tells.
void Connection::watch() {
  if (!peer_closed_ && input_.size() < options().header_bytes_max) read();
}

// After the last answer: takes what the client still sends, so that it reads the answer and not a
// reset.
void Connection::linger() {
  if (phase_ != Phase::kLingering) {
    phase_ = Phase::kLingering;
    set_idle(IoThread::kLingers);
    if (tls_) tls_->end();
    ErrorCode ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    linger_end_ = now() + kLingerTimeoutsMax * options().linger_timeout;
  }
  set_deadline(std::min(now() + options().linger_timeout, linger_end_));
  lingered_bytes_ += input_.size();
  input_.consume(input_.size());
  if (peer_closed_ || lingered_bytes_ > kLingerBytesMax) return close();
  read();
}

// --- Time ---

// Deadlines move often and timers are dear: a timer that fires before the deadline is armed again.
void Connection::set_deadline(SteadyTime deadline) {
  deadline_ = deadline;
  if (deadline_ < armed_until_) arm_timer();
}

void Connection::arm_timer() {
  armed_until_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](ErrorCode ec) {
    const auto self = weak.lock();
    if (ec || !self || self->phase_ == Phase::kClosed) return;
    self->armed_until_ = SteadyTime::max();
    if (self->deadline_ == SteadyTime::max()) return;
    if (now() < self->deadline_) return self->arm_timer();
    if (now() - self->deadline_ > kLateDeadline && !std::exchange(self->had_grace_, true)) {
      self->linger_end_ = now() + kLingerTimeoutsMax * self->options().linger_timeout;
      return self->set_deadline(now() + kGrace);
    }
    self->on_deadline();
  });
}

void Connection::on_deadline() {
  deadline_ = SteadyTime::max();
  if (phase_ == Phase::kHeader || phase_ == Phase::kBody) {
    close_after_ = true;
    const bool header = phase_ == Phase::kHeader;
    if (request_id_.empty()) request_id_ = make_request_id();
    return send_failure(
        {408,
         {Code::kTimeout,
          fmt::format("[http] expected the request's {} within {} ms", header ? "header" : "body",
                      (header ? options().header_timeout : options().body_timeout).count()),
          {}},
         {}});
  }
  if (phase_ == Phase::kAnswering && !writing_) return send_heartbeat();
  if (phase_ == Phase::kIdle && bytes_wait() && !std::exchange(had_grace_, true))
    return set_deadline(now() + kGrace);
  close();  // idle, lingering, or a client that does not read
}

// --- IoThread ---

void IoThread::admit(tcp::socket socket) {
  if (shared.closing) return;
  const auto connection = std::make_shared<Connection>(std::move(socket), *this);
  connection->late_ = shared.draining;
  size_t open;
  {
    const std::lock_guard lock(shared.mutex);
    open = ++shared.connections;
    if (connection->late_) ++shared.late;
  }
  connection->position_ = connections.insert(connections.end(), connection);
  const size_t most = shared.options.connections_max;
  if (open <= most) return connection->serve();
  if (Connection* other = connection_to_evict()) {
    other->close();
    return connection->serve();
  }
  // Refusals are bounded too: past this the socket just closes.
  open <= most + most / 4 + 8 ? connection->refuse() : connection->close();
}

Connection* IoThread::connection_to_evict() const {
  if (!idle[kLingers].empty()) return idle[kLingers].front();
  const auto& waiting = idle[kWaits];
  const auto silent = std::find_if(waiting.begin(), waiting.end(),
                                   [](const Connection* c) { return !c->bytes_wait(); });
  if (silent != waiting.end()) return *silent;
  if (!waiting.empty()) return waiting.front();
  const auto& sending = idle[kSends];
  return !sending.empty() && sending.front()->sends_for_long() ? sending.front() : nullptr;
}

void IoThread::drain() {
  for (const auto& connection : std::list(connections)) connection->drain();
}

void IoThread::close_all() {
  while (!connections.empty()) connections.front()->close();
}

}  // namespace pippin::http
