// Server: HTTP/1.1 over TCP. Accepts, reads requests within limits, routes them, and sends answers
// and streams.
// Owner: the app, which outlives it with the worker pool. Nothing of the HTTP library shows here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/exchange.h"
#include "base/error.h"
#include "base/request_context.h"
#include "base/result.h"
#include "base/worker_pool.h"

namespace pippin::http {

using Milliseconds = std::chrono::milliseconds;

/// Writes an error of this level (limits, time-outs, no such route, ...) in the form of the API
/// that `path` belongs to. `path` is "" where the request could not be read. Thread: any.
using ErrorForm = std::function<api::Response(std::string_view path, int status, const Error&)>;

/// Pages on this machine: http and https of localhost, 127.0.0.1 and [::1], any port.
std::vector<std::string> loopback_origins();

/// Decides by the keys that a request presents whether it is let in. Refusals: kUnauthenticated,
/// kPermissionDenied, kRateLimited, kUnavailable. Thread: any; must not wait.
using Authenticate = std::function<Authentication(const std::vector<std::string_view>& secrets)>;

/// One request that has ended, for an audit log.
struct AuditEntry {
  std::string_view request_id, key_id;  // key_id: "" without a key
  std::string_view peer;                // the client's address
  std::string_view method, path;
  std::string_view body;  // of the request
  int status = 0;         // 499: the client left
  double ms = 0;
  size_t bytes_sent = 0;
  RequestContext::Taken tokens;
};
using Audit = std::function<void(const AuditEntry&)>;

/// Decides whether anything but /health is answered now. Errors: kUnavailable. Thread: any; must
/// not wait.
using MayAnswer = std::function<Result<void>()>;

struct Options {
  std::string host = "127.0.0.1";  // an address or a name; "0.0.0.0" or "::" for all
  uint16_t port = 8000;            // 0: any free one; see bound_port()
  int io_threads = 1;

  size_t header_bytes_max = 16 << 10;
  size_t body_bytes_max = 32 << 20;     // of one request
  size_t bodies_bytes_max = 512 << 20;  // of all requests being read or handled; beyond it: 503
  size_t stream_bytes_max = 4 << 20;    // unsent bytes of one stream; a slower client is dropped
  size_t connections_max = 1024;  // beyond it the longest idle one goes, else the new one gets 503

  Milliseconds header_timeout{10'000};  // from a request's first byte to its header's end
  Milliseconds body_timeout{30'000};    // for a body, plus 1 s for each 16 KiB; beyond it: 408
  Milliseconds idle_timeout{300'000};  // between requests; clients close unused connections earlier
  Milliseconds write_timeout{30'000};  // without any byte taken by the client
  /// After an early answer: how long a client that still sends may be silent.
  Milliseconds linger_timeout{3'000};
  Milliseconds heartbeat{10'000};  // silence of an event stream before a comment is sent; 0: never

  std::vector<std::string> cors_origins = loopback_origins();  // exact, "scheme://host:*", or "*"
  /// Names in Host besides loopback, this machine's and addresses; or "*".
  std::vector<std::string> allowed_hosts;
  ErrorForm error_form;  // required

  Authenticate authenticate;                // empty: requests need no key
  Audit audit;                              // called on an I/O thread; empty: none
  MayAnswer may_answer;                     // empty: always
  std::string tls_cert_path, tls_key_path;  // PEM; empty: without TLS
};

/// Handlers run on the worker pool; an Exchange may be used from any thread. on_disconnect and
/// on_drained are called on an I/O thread and must not wait. A callback should not own its
/// Exchange: it would keep an unanswered one alive.
class Server {
 public:
  Server(Options options, api::Router router, WorkerPool& workers);
  /// Stops without a drain if stop() was not called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Binds and begins to answer. Called once.
  /// Errors: kInvalidArgument (no such host), kInvalidFile (certificate or key), kUnavailable
  /// (address in use or not ours), naming host:port.
  Result<void> start();

  /// Returns the port that start() bound.
  uint16_t bound_port() const;

  /// Closes connections that wait for a further request, lets running exchanges end for up to
  /// `drain`. Then calls `end_answers`, whose exchanges have some seconds to send their end. Until
  /// then, and for `least` at least, it goes on listening: /health and /metrics are answered, all
  /// else is refused with 503. Then closes the rest (their on_disconnect is called). Returns when
  /// all I/O threads have ended. Thread: not an I/O thread.
  void stop(Milliseconds drain, const std::function<void()>& end_answers = {},
            Milliseconds least = Milliseconds(0));

  /// Returns the number of open connections.
  size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pippin::http
