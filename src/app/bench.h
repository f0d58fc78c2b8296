// pippin bench: prompt and decode speeds through the engine, in llama-bench's words (pp: prompt,
// tg: generation). Thread: main.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/exec/runner.h"

namespace pippin::app {

struct BenchOptions {
  std::string model;                 // a path
  engine::RunnerOptions runner;      // device, threads, ops
  std::vector<int> prompts = {512};  // pp: prompt lengths, one row each
  int generate = 64;                 // tg: tokens a row; 0 = none
  int depth = 128;                   // positions in each row's cache before tg
  std::vector<int> rows = {1};       // rows decoding together, 1 to 256
  int repeats = 5;
  bool json = false;  // JSON lines instead of a table
};

/// Prints one line for each test: the median of `repeats` runs, the lowest and the highest, in
/// tokens per second. Errors: of the model file; kInvalidArgument, when a test does not fit the
/// context.
Result<void> run_bench(const BenchOptions& options);

}  // namespace pippin::app
