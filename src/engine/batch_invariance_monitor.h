// BatchInvarianceMonitor: runs a few fixed prompts on a live engine now and then. It compares the
// answers beside concurrent requests with those of exclusive steps. A difference is logged and
// counted, and can make the engine deterministic.
// Owner: app. Thread: its own.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "engine/core/batch_invariance.h"
#include "engine/engine.h"

namespace pippin::engine {

struct MonitorOptions {
  Duration every{};                 // between two rounds
  bool make_deterministic = false;  // the answer to a difference, besides a warning
};

class BatchInvarianceMonitor {
 public:
  /// Starts the thread; the first round comes after `every`. The prompts run at the lowest
  /// priority. Requires: `engine` outlives the monitor; at least two prompts.
  BatchInvarianceMonitor(Engine& engine, MonitorOptions options, std::vector<Submission> prompts);
  /// Ends a round under way.
  ~BatchInvarianceMonitor();
  BatchInvarianceMonitor(const BatchInvarianceMonitor&) = delete;
  BatchInvarianceMonitor& operator=(const BatchInvarianceMonitor&) = delete;

 private:
  using Answer = std::vector<Token>;
  class Wakeup;

  void loop();
  void round();
  void report(const Agreement& agreement);
  /// Returns: nothing if the engine could not run them all to their ends.
  std::optional<std::vector<Answer>> run(const std::vector<Submission>& submissions);
  std::optional<std::vector<Answer>> run_exclusive();

  Engine& engine_;
  const MonitorOptions options_;
  const std::vector<Submission> prompts_;
  std::vector<Answer> exclusive_;  // of the first round
  int rounds_ = 0;
  std::shared_ptr<Wakeup> wakeup_;  // shared, since a callback under way may outlast the monitor
  Thread thread_;
};

}  // namespace pippin::engine
