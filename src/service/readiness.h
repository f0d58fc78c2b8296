// Readiness: whether the server answers requests, and if not, why. Set by main, read by /health and
// the wires. Thread: any.
#pragma once

#include <mutex>
#include <string>
#include <utility>

namespace pippin::service {

class Readiness {
 public:
  struct State {
    bool ready = false;
    std::string reason;  // for a person: "loading SmolLM2"; empty when ready
  };

  void set_ready() { set({true, {}}); }
  void set_not_ready(std::string reason) { set({false, std::move(reason)}); }
  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  void set(State state) {
    const std::lock_guard lock(mutex_);
    state_ = std::move(state);
  }

  mutable std::mutex mutex_;
  State state_{false, "starting"};
};

}  // namespace pippin::service
