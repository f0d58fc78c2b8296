// Harness: the routes without a socket and without a device. The engine, the tokenizer (256 bytes
// and ChatML's tokens) and the template are real. The model repeats what it is told: it answers a
// chat with the last user message and a text prompt with itself. Its calls are read as hermes', its
// thinking as <think>'s; {"chat_template_kwargs": {"think": true}} opens the thinking in the
// prompt. Marks in the text steer it:
//   <fail>      the step fails here
//   <oom>       the step finds no memory here
//   <forever>   the text starts again here, without end
//   <wait>      waits for release()
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "api/context.h"
#include "api/exchange.h"
#include "base/worker_pool.h"
#include "service/models/model_pool.h"
#include "service/readiness.h"
#include "service/storage/response_store.h"

namespace pippin::api::testing {

/// An exchange that keeps what is sent. Thread: as Exchange; the test's thread waits.
class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(Request request) : request_(std::move(request)) {}

  const Request& request() const override { return request_; }
  void respond(Response response) override;
  void start_stream(Response head) override;
  bool write(std::string_view bytes) override;
  size_t queued_bytes() const override;
  void finish() override;
  void on_disconnect(std::function<void()> callback) override;
  void on_drained(std::function<void()> callback) override;
  void on_heartbeat(std::function<void()> callback) override;

  /// Waits for the answer's end. Returns false after a long time.
  bool wait();
  /// Waits until so many bytes have been sent.
  bool wait_for_bytes(size_t bytes);
  /// The client leaves.
  void disconnect();
  /// The client stops reading: what was and is written stays queued. drain() takes it and goes on
  /// reading.
  void stall();
  void drain();
  /// The stream's heartbeat was sent.
  void fall_silent();

  /// What was sent: status, headers and the whole body. Requires: the answer has ended, or the
  /// stream has begun.
  Response sent() const;
  int answers() const;  // respond() or finish() calls

 private:
  const Request request_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Response sent_;
  int answers_ = 0;
  bool started_ = false, gone_ = false, stalled_ = false;
  size_t queued_ = 0;
  std::function<void()> on_disconnect_, on_drained_, on_heartbeat_;
};

struct HarnessOptions {
  int context_tokens_max = 256;
  int blocks = 64;
  int window_blocks = 0;  // of layers that see `window` positions
  int window = 0;
  int rows_max = 8;
  int queue_max = 8;
  int event_queue_max = 4096;
  size_t stream_pause_bytes = 256 << 10;
  bool chat_template = true;
  bool infill = false;                      // the model knows tokens for filling in the middle
  std::string responses_path = ":memory:";  // where responses are kept; empty: nowhere
};

class Harness {
 public:
  explicit Harness(HarnessOptions options = {});
  ~Harness();

  /// Calls a route and returns at once. The path may have a query.
  std::shared_ptr<FakeExchange> send(std::string method, std::string path, std::string body,
                                     std::vector<std::pair<std::string, std::string>> headers = {});
  /// Calls a route and waits for the whole answer.
  Response call(std::string method, std::string path, std::string body,
                std::vector<std::pair<std::string, std::string>> headers = {});

  /// Lets rows at a <wait> go on.
  void release();
  const Router& router() const { return router_; }
  service::ModelPool& models() { return models_; }
  service::Readiness& readiness() { return readiness_; }
  engine::EngineStatus engine_status();
  /// Waits until no sequence is left and every block is free or cached.
  bool wait_until_idle();

  struct Gate;

 private:
  std::shared_ptr<Gate> gate_;
  service::ModelPool models_;
  service::Readiness readiness_;
  std::unique_ptr<service::ResponseStore> responses_;
  std::unique_ptr<WorkerPool> workers_;
  std::string data_folder_;  // a new one, removed at the end
  std::unique_ptr<Context> context_;
  Router router_;
};

}  // namespace pippin::api::testing
