// DivergenceMonitor: every so often runs a few fixed prompts on a live engine, first alone and then
// beside whatever else runs, and compares the answers. A difference is logged and counted in the
// engine's metrics, and can make the engine serial.
// Owner: app. Thread: its own.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/core/divergence.h"
#include "engine/engine.h"

namespace pippin::engine {

struct MonitorOptions {
  Duration every{};        // between two rounds
  bool serialise = false;  // what a difference is answered with, beside a warning
};

class DivergenceMonitor {
 public:
  /// Starts the thread; the first round comes after `every`. The prompts run at the lowest
  /// priority. Requires: `engine` outlives the monitor; at least two prompts.
  DivergenceMonitor(Engine& engine, MonitorOptions options, std::vector<Submission> prompts);
  /// Ends a round under way.
  ~DivergenceMonitor();
  DivergenceMonitor(const DivergenceMonitor&) = delete;
  DivergenceMonitor& operator=(const DivergenceMonitor&) = delete;

 private:
  using Answer = std::vector<Token>;
  class Wakeup;

  void loop();
  void round();
  void report(const Agreement& agreement);
  /// Returns: nothing if the engine could not run them all to their ends.
  std::optional<std::vector<Answer>> run(const std::vector<Submission>& submissions);
  std::optional<std::vector<Answer>> run_alone();

  Engine& engine_;
  const MonitorOptions options_;
  const std::vector<Submission> prompts_;
  std::vector<Answer> alone_;  // of the first round
  int rounds_ = 0;
  std::shared_ptr<Wakeup> bell_;  // shared, since a callback under way may outlast the monitor
  std::thread thread_;
};

}  // namespace pippin::engine
