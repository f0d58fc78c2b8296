// IoThread: one I/O thread with its event loop and its connections. Shared: what all I/O threads of
// a server have in common. Owner: Server::Impl. Thread: an IoThread's members belong to its own
// thread, but for `context` and what Shared says.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "base/thread.h"
#include "http/answer.h"
#include "http/server.h"
#include "http/tls.h"

namespace pippin::http {

namespace asio = boost::asio;
using asio::ip::tcp;

class Connection;

/// Const after start(), but for the atomics and the condition.
struct Shared {
  Options options;
  std::shared_ptr<const TlsContext> tls;      // null: without
  std::shared_ptr<const api::Router> router;  // jobs on the worker pool may outlive the server
  WorkerPool* workers = nullptr;
  std::shared_ptr<BodyBudget> bodies;
  std::atomic<bool> draining{false};  // new requests but /health and /metrics get 503
  std::atomic<bool> closing{false};   // no new connections
  std::atomic<size_t> connections{0};
  std::mutex mutex;
  size_t late = 0;  // connections whose first request came while draining: no drain waits for them
  std::condition_variable connection_ended;
};

struct IoThread {
  explicit IoThread(Shared& shared_by_all) : shared(shared_by_all) {}

  /// Takes over a new connection. At the limit an idle one is closed for it; if all are at work,
  /// the new one gets 503. So sockets that ask for nothing cannot keep others out.
  void admit(tcp::socket socket);
  /// Returns the connection to close for a new one: one that lingers after its last answer, else
  /// one that waits for a request, else one that has sent a body for long; the longest of its kind.
  /// Null: all are at work.
  Connection* connection_to_evict() const;
  /// Closes idle connections; the others end after their answer.
  void drain();
  void close_all();

  Shared& shared;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::list<std::shared_ptr<Connection>> connections;
  /// What a connection without a running answer does, in the order in which such are closed for new
  /// ones.
  enum Idleness : uint8_t { kLingers, kWaits, kSends, kIdlenesses };
  std::array<std::list<Connection*>, kIdlenesses> idle;  // longest first
  Thread thread;
};

}  // namespace pippin::http
