// pippin doctor: checks with a user's own model that batching and caches do not change answers.
// docs/determinism.md explains the figures. Thread: main.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core/batch_invariance.h"
#include "engine/exec/runner.h"

namespace pippin::app {

struct InvarianceRequest {
  std::string model;             // a path
  engine::RunnerOptions runner;  // device, threads
  int tokens = 32;               // of each answer
  bool deterministic = false;    // as serve --deterministic
};

/// What the check found.
struct InvarianceReport {
  std::string model, device;
  int prompts = 0, tokens = 0;
  bool serial = false;  // every step held one row
  std::vector<engine::Agreement> agreements;

  bool same() const;
  /// Returns a table and a sentence for a person.
  std::string to_text() const;
  /// Returns one JSON object in one line.
  std::string to_json() const;
};

/// Loads the model and runs the fixed prompts in every way. `progress` gets each way's name.
/// Errors: of the file, the tokenizer and the device; kContextLength, when the model's context is
/// too short for the prompts.
Result<InvarianceReport> check_invariance(const InvarianceRequest& request,
                                          const std::function<void(const std::string&)>& progress);

}  // namespace pippin::app
