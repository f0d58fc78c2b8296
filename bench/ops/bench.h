// What the benchmarks of operations have in common: their options, and how a call is timed. Thread:
// any.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "nn/cpu/linear.h"

namespace pippin::nn::cpu {

struct Options {
  Isa isa = Isa::kPortable;
  int threads = allowed_cpus();
  double seconds = 0.3;  // per line
  std::string only;
  std::vector<int64_t> rows = {1, 2, 4, 8, 16, 64, 512};
};

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Times {
  double best, median;
};

// Times of one call, after one to warm up. `before`: what is not timed.
template <typename Before, typename Call>
Times call_seconds(const Options& options, Before before, Call call) {
  before();
  call();
  std::vector<double> times;
  const double end = now() + options.seconds;
  while (times.size() < 5 || now() < end) {
    before();
    const double start = now();
    call();
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

template <typename Call>
Times call_seconds(const Options& options, Call call) {
  return call_seconds(
      options, [] {}, call);
}

// The best, because neighbours on the machine only ever add.
template <typename Call>
double best_seconds(const Options& options, Call call) {
  return call_seconds(
             options, [] {}, call)
      .best;
}
template <typename Before, typename Call>
double best_seconds(const Options& options, Before before, Call call) {
  return call_seconds(options, before, call).best;
}

/// Prints lines of recurrent layers: of Qwen 3.5, Granite 4 and Jamba.
void bench_recurrent(const Options& options, ThreadPool& pool);

/// Prints lines of attention over compressed keys and values: of DeepSeek 3.2.
void bench_latent(int tokens, const Options& options, ThreadPool& pool);

}  // namespace pippin::nn::cpu
