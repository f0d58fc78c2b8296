// Readiness: whether the server answers requests, and if not, why; and what it cannot do besides.
// Set by main, read by /health and the APIs. Thread: any.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace pippin::service {

class Readiness {
 public:
  struct State {
    bool ready = false;
    std::string reason;  // for a person: "loading SmolLM2"; empty when ready
    std::map<std::string, std::string> degraded = {};  // what does not work though it answers: why
  };

  void set_ready() { set(true, {}); }
  void set_not_ready(std::string reason) { set(false, std::move(reason)); }
  void set_degraded(const std::string& what, std::string why) {
    const std::lock_guard lock(mutex_);
    state_.degraded[what] = std::move(why);
  }
  void set_works(const std::string& what) {
    const std::lock_guard lock(mutex_);
    state_.degraded.erase(what);
  }
  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  void set(bool ready, std::string reason) {
    const std::lock_guard lock(mutex_);
    state_.ready = ready;
    state_.reason = std::move(reason);
  }

  mutable std::mutex mutex_;
  State state_{false, "starting"};
};

}  // namespace pippin::service
