// Connection: one client's socket, request after request. Reads, checks and routes; sends what the
// Answer holds.
// Owner: its IoThread, and each operation in flight. Thread: the IoThread's.
//
// At most one read and one write are in flight. The read goes on while an answer is made: its end
// tells that the client has left, and bytes that come early belong to the next request.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/body.h"
#include "http/head.h"
#include "http/io_thread.h"

namespace pippin::http {

using SteadyTime = std::chrono::steady_clock::time_point;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, IoThread& io_thread);

  /// Answers requests until one side ends the connection.
  void serve();
  /// Answers 503 without waiting for a request, and ends.
  void refuse();
  /// Ends now if no request has begun, else after the answer.
  void drain();
  /// Ends now. A running handler's on_disconnect is called.
  void close();

 private:
  friend struct IoThread;
  enum class Phase { kIdle, kHeader, kBody, kAnswering, kLingering, kClosed };
  using ErrorCode = boost::system::error_code;
  struct Failure {
    int status;
    Error error;
    std::vector<std::pair<std::string, std::string>> headers;
  };

  // Reading (connection.cpp)
  void begin_request();
  void read();
  size_t receive(void* bytes, size_t size, ErrorCode& ec);
  void on_readable(ErrorCode ec);
  void on_peer_end(ErrorCode ec);
  void parse();
  bool parse_header();
  bool parse_body();
  bool feed();
  void on_parse_error(ErrorCode ec);
  void set_idle(std::optional<IoThread::Idleness> kind);
  bool bytes_wait() const;
  bool sends_for_long() const;
  bool over_framing() const;
  void refuse_framing();
  void watch();
  void linger();

  // A request's head, checked (request_checks.cpp)
  bool adopt_head();
  std::optional<Failure> check_head();
  std::optional<Failure> check_origin();
  std::optional<Failure> check_fetch_site();
  std::optional<Failure> check_key();
  std::optional<Failure> check_body_headers();
  std::optional<Failure> route();
  Failure forbidden(const Rule& rule) const;
  bool answer_preflight();
  void dispatch();
  bool queue_job();
  void leave_queue();

  // Writing (reply.cpp)
  void on_wake();
  void pump();
  void send_failure(const Failure& failure);
  void send_whole(const api::Response& response);
  void begin_stream(const api::Response& head);
  void append_stream(const Answer::Output& output);
  void append_body(std::string_view bytes);
  void send_continue();
  void send_heartbeat();
  Framing framing() const;
  void write_more();
  void write_tls();
  void on_written(ErrorCode ec, size_t bytes);
  void end_exchange();
  void log_access(int status, const Answer* answer) const;
  void release_caller();

  // Time (connection.cpp)
  void set_deadline(SteadyTime deadline);
  void arm_timer();
  void on_deadline();

  const Options& options() const { return io_thread_.shared.options; }

  tcp::socket socket_;
  std::string peer_;  // the client's address
  std::optional<TlsStream> tls_;
  bool handshake_done_ = false;    // TLS: the handshake is done
  bool read_wants_write_ = false;  // TLS: reading goes on once the socket is writable
  IoThread& io_thread_;
  std::list<std::shared_ptr<Connection>>::iterator position_;  // in io_thread_.connections
  struct IdlePlace {
    IoThread::Idleness kind;
    std::list<Connection*>::iterator position;
  };
  std::optional<IdlePlace> idle_;  // in io_thread_.idle; none while an answer is made

  Phase phase_ = Phase::kIdle;
  bool asked_ = false;  // has sent a request, or has begun to
  bool late_ = false;   // had not asked when the server began to drain
  bool reading_ = false;
  bool writing_ = false;      // output_, or "100 Continue" before it
  bool close_after_ = false;  // this answer is the connection's last
  bool peer_closed_ = false;  // the client has sent FIN

  boost::beast::flat_buffer input_;
  std::optional<boost::beast::http::request_parser<GrowingBody>> parser_;
  BodyLease lease_;
  SteadyTime request_began_;
  SteadyTime body_began_;
  /// Counts a body's chunks as the parser meets them.
  struct ChunkCounter {
    size_t chunks = 0;
    void operator()(std::uint64_t, boost::beast::string_view, ErrorCode&) { ++chunks; }
  };
  ChunkCounter chunk_counter_;
  size_t framing_bytes_ = 0;  // of a body: its chunk lines and trailers
  size_t lingered_bytes_ = 0;
  SteadyTime linger_end_;
  bool had_grace_ = false;  // a deadline of this request was put off, for what may lie unread

  api::Request request_;       // until dispatch, which moves it into answer_
  std::string method_, path_;  // kept for the log
  std::string request_id_;
  std::string heartbeat_;
  std::string allow_origin_;
  bool http10_ = false;
  bool head_only_ = false;
  const api::Handler* handler_ = nullptr;
  std::shared_ptr<RequestContext> caller_;  // until the answer's end
  std::optional<WorkerPool::Place> place_;  // of the answer's first job, from its queueing on
  std::shared_ptr<Answer> answer_;

  std::string output_;  // being written, from sent_ on
  size_t sent_ = 0;
  size_t payload_unsent_ = 0;  // bytes of the stream within output_
  size_t bytes_sent_ = 0;      // of this answer, for the log
  int status_ = 0;             // 0: no head sent yet
  bool streaming_ = false;
  bool event_stream_ = false;
  bool between_events_ = true;  // what was written ends with a blank line: a comment may follow
  bool complete_ = false;       // output_ ends the answer
  SteadyTime last_write_;

  asio::steady_timer timer_;
  SteadyTime deadline_ = SteadyTime::max();
  SteadyTime armed_until_ = SteadyTime::max();
};

}  // namespace pippin::http
