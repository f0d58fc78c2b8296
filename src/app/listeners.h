// Listeners: the ports that `pippin serve` listens on: its own and, if the settings say so,
// Ollama's. All offer the same routes. Owner: serve. Thread: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "app/settings/settings.h"
#include "base/worker_pool.h"
#include "http/server.h"

namespace pippin::app {

class Listeners {
 public:
  Listeners(const http::Options& options, const Settings& settings, const api::Router& router,
            WorkerPool& workers);

  /// Errors: of http::Server::start(). Then none listens.
  Result<void> start();
  /// The port that start() bound.
  uint16_t port() const { return own_.bound_port(); }
  /// Ollama's port; 0: none.
  uint16_t ollama_port() const { return ollama_ ? ollama_->bound_port() : uint16_t{0}; }
  size_t connections() const;
  /// As http::Server::stop(), for all at the same time.
  void stop(std::chrono::milliseconds drain, const std::function<void()>& end_answers,
            std::chrono::milliseconds least);

 private:
  http::Server own_;
  std::optional<http::Server> ollama_;
};

}  // namespace pippin::app
