// A server with the routes that the tests need, on a free port.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/worker_pool.h"
#include "http/client.h"
#include "http/server.h"

namespace pippin::http {

using Steady = std::chrono::steady_clock;

/// Waits for a condition, looking every millisecond, and returns whether it came in time.
template <typename Condition>
bool wait_for(Condition&& condition, Milliseconds limit = Milliseconds(10'000)) {
  const auto end = Steady::now() + limit;
  while (!condition()) {
    if (Steady::now() > end) return false;
    std::this_thread::sleep_for(Milliseconds(1));
  }
  return true;
}

/// Exchanges that a handler has parked for the test to answer.
class Parked {
 public:
  void put(std::shared_ptr<api::Exchange> exchange) {
    const std::lock_guard lock(mutex_);
    exchanges_.push_back(std::move(exchange));
    arrived_.notify_all();
  }
  /// Takes the oldest one; null if none comes in time.
  std::shared_ptr<api::Exchange> take(Milliseconds limit = Milliseconds(10'000)) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, limit, [this] { return !exchanges_.empty(); })) return nullptr;
    auto exchange = std::move(exchanges_.front());
    exchanges_.erase(exchanges_.begin());
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::shared_ptr<api::Exchange>> exchanges_;
};

inline Options test_options() {
  Options options;
  options.port = 0;
  options.error_form = [](std::string_view, int status, const Error& error) {
    return api::Response{status, "text/plain", error.message, {}};
  };
  return options;
}

class RunningServer {
 public:
  explicit RunningServer(Options options = test_options(), size_t jobs_max = 4096)
      : workers_(2, jobs_max), server_(std::move(options), routes(), workers_) {
    spdlog::set_level(spdlog::level::off);
    const auto started = server_.start();
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
  }

  Client client() const { return Client(server_.bound_port()); }
  uint16_t port() const { return server_.bound_port(); }
  Server& server() { return server_; }
  Parked& parked() { return parked_; }

 private:
  // /echo answers with what came; /parked leaves the exchange to the test; /dropped forgets it;
  // /cut begins a stream and forgets it.
  api::Router routes() {
    using Exchange = std::shared_ptr<api::Exchange>;
    api::Router router;
    const auto echo = [](const Exchange& e) {
      const api::Request& r = e->request();
      std::string body = r.method + " " + r.path + "?" + r.query;
      for (const auto& capture : r.captures) body += " {" + capture + "}";
      e->respond({200, "text/plain", body + "\n" + r.body, {}});
    };
    router.add("GET", "/echo", {}, echo);
    router.add("POST", "/echo", {}, echo);
    router.add("GET", "/echo/{rest...}", {}, echo);
    router.add("POST", "/size", {}, [](const Exchange& e) {
      e->respond({200, "text/plain", std::to_string(e->request().body.size()), {}});
    });
    const auto park = [this](Exchange e) { parked_.put(std::move(e)); };
    router.add("GET", "/parked", {}, park);
    router.add("POST", "/parked", {}, park);
    router.add("POST", "/managed", {Action::kManage}, echo);
    router.add("GET", "/health", {}, [](const Exchange& e) {
      e->respond({200, "text/plain", "fine", {}});
    });
    router.add("GET", "/dropped", {}, [](const Exchange&) {});
    router.add("GET", "/cut", {}, [](const Exchange& e) {
      e->start_stream({200, "text/event-stream", "", {}});
      e->write("data: 1\n\n");
    });
    return router;
  }

  Parked parked_;
  WorkerPool workers_;
  Server server_;
};

}  // namespace pippin::http
