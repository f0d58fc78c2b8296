#include "app/bench.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <random>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "engine/core/state_group.h"
#include "engine/engine.h"
#include "store/checkpoint.h"

namespace pippin::app {
namespace {

using engine::Engine;
using engine::EventStream;
using engine::Submission;
using engine::Token;

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Takes the events of several sequences where they come, on the device thread, so that their times
// are the engine's own and no reader is woken beside it.
class Collector {
 public:
  explicit Collector(int sequences) : streams_(static_cast<size_t>(sequences)) {}

  // Takes the next sequence.
  void add(std::shared_ptr<EventStream> stream) {
    const size_t index = added_++;
    streams_[index].stream = std::move(stream);
    streams_[index].stream->set_notify([this, index] { take(streams_[index]); });
  }

  // Waits until every sequence has ended. Errors: the first one's.
  Result<void> finish() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return ended_ == streams_.size(); });
    return result_;
  }

  TimePoint all_first() const { return all_first_; }
  TimePoint last() const { return last_; }
  int tokens_after_all_first() const { return tokens_after_; }

 private:
  struct Stream {
    std::shared_ptr<EventStream> stream;
    bool begun = false;
  };

  void take(Stream& from) {
    const std::lock_guard lock(mutex_);
    std::vector<engine::Event> events;
    from.stream->take(events);
    const TimePoint now = SystemClock().now();
    for (const engine::Event& event : events) {
      if (std::holds_alternative<engine::TokenEvent>(event)) note_token(from, now);
      const auto* finish = std::get_if<engine::FinishEvent>(&event);
      if (finish == nullptr) continue;
      if (finish->reason == engine::FinishReason::kError && result_) result_ = finish->error;
      if (++ended_ == streams_.size()) done_.notify_one();
    }
  }

  // Decoding is timed from the moment when every row has its first token: before that, some rows
  // are still in their prompts.
  void note_token(Stream& from, TimePoint now) {
    last_ = now;
    if (begun_ == streams_.size()) {
      ++tokens_after_;
    } else if (!from.begun) {
      from.begun = true;
      if (++begun_ == streams_.size()) all_first_ = now;
    }
  }

  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<Stream> streams_;
  size_t added_ = 0, begun_ = 0, ended_ = 0;
  Result<void> result_;
  int tokens_after_ = 0;
  TimePoint all_first_{}, last_{};
};

class Bench {
 public:
  Bench(const BenchOptions& options, const engine::ModelInfo& info, std::unique_ptr<Engine> engine)
      : options_(options), info_(info), engine_(std::move(engine)) {}

  Result<void> run() {
    if (!options_.json) {
      std::printf("%s, %.1f MiB, %s KV, %s, %d threads\n\n", info_.architecture.c_str(),
                  model_mib(), info_.kv_type.c_str(), device(), threads());
      std::printf("%-16s %8s %8s %10s %10s %10s\n", "test", "rows", "depth", "tok/s", "lowest",
                  "highest");
    }
    for (int prompt : options_.prompts) {
      RETURN_IF_ERROR(
          report(fmt::format("pp{}", prompt), 1, 0, [&] { return prompt_speed(prompt); }));
    }
    if (options_.generate <= 0) return {};
    for (int rows : options_.rows) {
      const std::string test = options_.depth > 0
                                   ? fmt::format("tg{} @ d{}", options_.generate, options_.depth)
                                   : fmt::format("tg{}", options_.generate);
      RETURN_IF_ERROR(report(test, rows, options_.depth, [&] { return decode_speed(rows); }));
    }
    return {};
  }

 private:
  double model_mib() const { return static_cast<double>(info_.weight_bytes) / (1 << 20); }
  int threads() const {
    return options_.runner.threads > 0 ? options_.runner.threads : allowed_cpus();
  }
  const char* device() const { return engine::device_traits(options_.runner.device).name; }

  // Random prompts, so that no run finds another's blocks.
  Submission submission(int prompt, int generate) {
    Submission s;
    std::uniform_int_distribution<int> any(0, info_.vocab - 1);
    for (int i = 0; i < prompt; ++i) s.tokens.push_back(any(random_));
    s.sampling.temperature = 0;
    s.stop.max_tokens = generate;
    s.stop.ignore_eos = true;
    return s;
  }

  Result<double> prompt_speed(int prompt) {
    Collector collector(1);
    const TimePoint begin = SystemClock().now();
    ASSIGN_OR_RETURN(auto stream, engine_->submit(submission(prompt, 1)));
    collector.add(std::move(stream));
    RETURN_IF_ERROR(collector.finish());
    return prompt / seconds_between(begin, collector.all_first());
  }

  Result<double> decode_speed(int rows) {
    std::vector<std::shared_ptr<EventStream>> streams;
    for (int r = 0; r < rows; ++r) {
      // Rows whose prompt is done first wait for the others by having more to generate.
      ASSIGN_OR_RETURN(auto stream,
                       engine_->submit(submission(std::max(1, options_.depth),
                                                  options_.generate + extra_tokens(rows))));
      streams.push_back(std::move(stream));
    }
    Collector collector(rows);
    for (auto& stream : streams) collector.add(std::move(stream));
    RETURN_IF_ERROR(collector.finish());
    return collector.tokens_after_all_first() /
           seconds_between(collector.all_first(), collector.last());
  }

  // A row decodes on while the prompts of later rows are computed, about one token a step.
  int extra_tokens(int rows) const {
    return rows == 1
               ? 1
               : rows * std::max(1, options_.depth) / engine_->options().step_tokens_max + rows;
  }

  template <typename Fn>
  Result<void> report(const std::string& test, int rows, int depth, Fn&& measure) {
    std::vector<double> speeds;
    for (int i = 0; i <= options_.repeats; ++i) {
      ASSIGN_OR_RETURN(const double speed, measure());
      if (i > 0) speeds.push_back(speed);  // the first run warms up
    }
    std::sort(speeds.begin(), speeds.end());
    const double median = speeds[speeds.size() / 2];
    if (options_.json) {
      std::printf(
          "{\"test\": \"%s\", \"rows\": %d, \"depth\": %d, \"tok_s\": %.2f, \"lowest\": %.2f, "
          "\"highest\": %.2f, \"runs\": %d, \"architecture\": \"%s\", \"model_mib\": %.1f, "
          "\"kv_type\": \"%s\", \"device\": \"%s\", \"threads\": %d}\n",
          test.c_str(), rows, depth, median, speeds.front(), speeds.back(), options_.repeats,
          info_.architecture.c_str(), model_mib(), info_.kv_type.c_str(), device(), threads());
    } else {
      std::printf("%-16s %8d %8d %10.2f %10.2f %10.2f\n", test.c_str(), rows, depth, median,
                  speeds.front(), speeds.back());
    }
    std::fflush(stdout);
    return {};
  }

  const BenchOptions& options_;
  const engine::ModelInfo& info_;
  std::unique_ptr<Engine> engine_;
  std::mt19937 random_{1};
};

}  // namespace

Result<void> run_bench(const BenchOptions& options) {
  if (options.repeats < 1)
    return fail(Code::kInvalidArgument, "[bench] expected at least 1 repetition", "--repeats");
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, store::Checkpoint::open(options.model));
  ASSIGN_OR_RETURN(
      const engine::ModelInfo info,
      engine::inspect_model(checkpoint, options.runner.device, options.runner.kv_type));
  const int rows_max = *std::max_element(options.rows.begin(), options.rows.end());
  int longest = *std::max_element(options.prompts.begin(), options.prompts.end()) + 1;
  const int row_tokens =
      options.depth + 2 * options.generate + rows_max * (2 + options.depth / 256);
  longest = std::max(longest, row_tokens);
  engine::EngineOptions limits;
  limits.context_tokens_max = longest;
  limits.rows_max = std::max(64, rows_max);
  const int block = limits.kv.block_positions;
  const int blocks = rows_max * (row_tokens / block + 2) + longest / block + 2;
  KvGroupSpec all;  // windows share the blocks of the others
  for (const KvGroupSpec& group : info.kv) {
    if (group.kind == KvKind::kState) {
      limits.kv.add(group, rows_max + engine::StateGroup::kBlocksMin);
    } else {
      all.bytes += group.bytes, all.layers += group.layers;
    }
  }
  if (all.layers > 0) limits.kv.add(all, blocks);
  limits.prefix_cache = false;
  limits.step_target = {};
  engine::RunnerOptions runner = options.runner;
  runner.kv = limits.kv;
  ASSIGN_OR_RETURN(auto engine,
                   Engine::start(limits, [&] { return engine::make_runner(checkpoint, runner); }));
  return Bench(options, info, std::move(engine)).run();
}

}  // namespace pippin::app
