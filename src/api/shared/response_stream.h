// ResponseStream: carries one generation to its exchange, as a whole or as a stream, whatever the
// API. ResponseWriter: an API's form of it. Thread: a ResponseStream works on the worker pool, one
// step at a time; it owns itself until the end.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/context.h"
#include "api/exchange.h"
#include "service/chat/generation.h"
#include "service/chat/live_requests.h"
#include "service/serial_task.h"

namespace pippin::api {

/// Turns the deltas of one generation into bytes of one API. Owner: the ResponseStream. Thread: one
/// at a time.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  /// True: every call below appends bytes to send now. False: they gather, and finish() writes the
  /// whole body.
  virtual bool streams() const = 0;
  /// The answer's own id, as the client is told it ("chatcmpl-..."); empty where the API has none.
  virtual std::string id() const { return {}; }
  /// Status and headers of a stream.
  virtual Response stream_head() const {
    return {200, "text/event-stream", {}, {{"cache-control", "no-cache"}}};
  }
  /// The stream's first bytes, before there is any text.
  virtual void begin(std::string& out) = 0;
  virtual void add(service::Delta&& delta, std::string& out) = 0;
  /// What a stream that has been silent for long says beside its head's heartbeat.
  virtual void keep_alive(std::string& out) { static_cast<void>(out); }
  virtual void finish(const service::Usage& usage, std::string& out) = 0;
  /// What a stream says when it cannot go on.
  virtual void abort(const Error& error, std::string& out) = 0;
  /// What is answered when nothing has been sent yet.
  virtual Response failure(const Error& error) = 0;
};

class ResponseStream final : public std::enable_shared_from_this<ResponseStream> {
 public:
  /// Begins to carry; returns at once. A client that leaves ends the generation; one that reads
  /// slowly pauses the reading.
  static void start(const Context& context, std::shared_ptr<Exchange> exchange,
                    std::unique_ptr<service::Generation> generation,
                    std::unique_ptr<ResponseWriter> writer);

 private:
  ResponseStream(const Context& context, std::shared_ptr<Exchange> exchange,
                 std::unique_ptr<service::Generation> generation,
                 std::unique_ptr<ResponseWriter> writer);
  void connect();
  void step();
  void end_with(const Error& error);
  void end();
  bool send();

  const Context& context_;
  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<service::Generation> generation_;
  const std::unique_ptr<ResponseWriter> writer_;
  const std::shared_ptr<std::atomic<bool>> gone_ =
      std::make_shared<std::atomic<bool>>(false);  // the client
  const std::shared_ptr<std::atomic<bool>> silent_ = std::make_shared<std::atomic<bool>>(false);
  bool connected_ = false;
  std::shared_ptr<service::SerialTask>
      task_;                              // all below and all calls of the exchange happen on it
  std::shared_ptr<ResponseStream> self_;  // until the end
  service::LiveRequests::Listing listing_;
  std::vector<service::Delta> deltas_;
  std::string bytes_;
};

}  // namespace pippin::api
