#include "app/listeners.h"

#include <utility>

#include "base/guarded.h"
#include "base/thread.h"

namespace pippin::app {

Listeners::Listeners(const http::Options& options, const Settings& settings,
                     const api::Router& router, WorkerPool& workers)
    : own_(options, router, workers) {
  if (!settings.ollama) return;
  http::Options beside = options;
  beside.port = static_cast<uint16_t>(settings.ollama_port);
  ollama_.emplace(std::move(beside), router, workers);
}

Result<void> Listeners::start() {
  RETURN_IF_ERROR(own_.start());
  if (!ollama_) return {};
  Result<void> started = ollama_->start();
  if (!started.ok()) own_.stop(std::chrono::milliseconds(0));
  return started;
}

size_t Listeners::connections() const {
  return own_.connections() + (ollama_ ? ollama_->connections() : 0);
}

void Listeners::stop(std::chrono::milliseconds drain, const std::function<void()>& end_answers,
                     std::chrono::milliseconds least) {
  const auto stop = [&](http::Server& server) {
    static_cast<void>(guarded("[http]", [&] { server.stop(drain, end_answers, least); }));
  };
  Thread beside;
  if (ollama_) {
    Result<Thread> started = Thread::start("[http]", [&] { stop(*ollama_); });
    if (started.ok()) {
      beside = *std::move(started);
    } else {
      stop(*ollama_);  // one after the other
    }
  }
  stop(own_);
  beside.join();
}

}  // namespace pippin::app
