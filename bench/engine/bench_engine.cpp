// bench_engine [MODEL.gguf]: what the engine itself costs, with a device that answers at once. One
// JSON line for each figure; times in us. "step" is the host's time between two steps of the
// device: events to their readers, commands, commit, plan. With a model, "real_step" is the same
// beside the time that a real step takes, with 16 rows.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/attention_group.h"
#include "engine/core/block_hash.h"
#include "engine/core/scheduler.h"
#include "engine/engine.h"
#include "engine/exec/runner.h"
#include "store/checkpoint.h"

namespace pippin::engine {
namespace {

constexpr int kContext = 1000;  // tokens of each row when it decodes

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double at_share(std::vector<double>& sorted, double share) {
  std::sort(sorted.begin(), sorted.end());
  return sorted.at(static_cast<size_t>(share * static_cast<double>(sorted.size() - 1)));
}

/// Answers at once when `go` is set, and times what happens between its steps.
class TimingRunner final : public Runner {
 public:
  TimingRunner(int rows, std::atomic<bool>& go, std::vector<double>& host_us)
      : rows_(rows), go_(go), host_us_(host_us) {}

  void admit(SequenceId, const Submission&) override {}

  StepOutput run(const StepPlan& plan) override {
    go_.wait(false);
    const bool decodes_all = plan.tokens() == rows_ && static_cast<int>(plan.rows.size()) == rows_;
    if (decodes_all && before_) host_us_.push_back(us_since(*before_));
    StepOutput output;
    output.step = plan.step;
    output.rows.resize(plan.rows.size());
    for (size_t i = 0; i < plan.rows.size(); ++i) {
      output.rows[i].sampled = plan.rows[i].sample;
      output.rows[i].token = 7;
    }
    before_ = decodes_all ? std::optional(Clock::now()) : std::nullopt;
    return output;
  }

 private:
  int rows_;
  std::atomic<bool>& go_;
  std::vector<double>& host_us_;
  std::optional<Clock::time_point> before_;
};

/// A real device; times its steps in which all rows decode, and what happens between two of them.
class MeteredRunner final : public Runner {
 public:
  MeteredRunner(std::unique_ptr<Runner> inner, int rows, std::vector<double>& step_us,
                std::vector<double>& host_us)
      : inner_(std::move(inner)), rows_(rows), step_us_(step_us), host_us_(host_us) {}

  void admit(SequenceId id, const Submission& submission) override {
    inner_->admit(id, submission);
  }

  StepOutput run(const StepPlan& plan) override {
    const bool decodes_all = plan.tokens() == rows_ && static_cast<int>(plan.rows.size()) == rows_;
    if (decodes_all && before_) host_us_.push_back(us_since(*before_));
    const Clock::time_point begin = Clock::now();
    StepOutput output = inner_->run(plan);
    if (decodes_all) step_us_.push_back(us_since(begin));
    before_ = decodes_all ? std::optional(Clock::now()) : std::nullopt;
    return output;
  }

 private:
  const std::unique_ptr<Runner> inner_;
  const int rows_;
  std::vector<double>& step_us_;
  std::vector<double>& host_us_;
  std::optional<Clock::time_point> before_;
};

/// Returns: whether the model could be run.
bool bench_real_step(const char* path) {
  constexpr int kRows = 16, kPrompt = 128, kGenerate = 96;
  const Result<store::Checkpoint> file = store::Checkpoint::open(path);
  const Result<ModelInfo> info = file.ok() ? inspect_model(*file) : Result<ModelInfo>(file.error());
  if (!info.ok()) {
    fmt::print(stderr, "{}\n", info.error().message);
    return false;
  }
  EngineOptions options;
  options.context_tokens_max = kPrompt + kGenerate + 1;
  options.kv = KvPlan::full(kRows * (options.context_tokens_max / 16 + 2));
  options.rows_max = kRows;
  std::vector<double> step_us, host_us;
  auto engine = Engine::start(options, [&]() -> Result<std::unique_ptr<Runner>> {
    RunnerOptions runner;
    runner.kv = options.kv;
    ASSIGN_OR_RETURN(std::unique_ptr<Runner> inner, make_runner(*file, runner));
    return std::unique_ptr<Runner>(
        std::make_unique<MeteredRunner>(std::move(inner), kRows, step_us, host_us));
  });
  if (!engine.ok()) {
    fmt::print(stderr, "{}\n", engine.error().message);
    return false;
  }
  std::vector<std::shared_ptr<EventStream>> streams;
  for (int row = 0; row < kRows; ++row) {
    Submission submission;
    for (int i = 0; i < kPrompt; ++i)
      submission.tokens.push_back((row * 7919 + i * 104729) % info->vocab);
    submission.stop.max_tokens = kGenerate;
    submission.stop.ignore_eos = true;
    submission.sampling.temperature = 0;
    streams.push_back((*engine)->submit(std::move(submission)).value());
  }
  (*engine)->drain(std::chrono::seconds(120));
  engine->reset();
  if (host_us.empty()) return false;
  const double host = at_share(host_us, 0.5), step = at_share(step_us, 0.5);
  fmt::print(
      "{{\"bench\":\"real_step\",\"rows\":{},\"steps\":{},\"host_median_us\":{:.1f},"
      "\"step_median_us\":{:.1f},\"host_share_percent\":{:.3f}}}\n",
      kRows, step_us.size(), host, step, 100 * host / (host + step));
  return true;
}

void bench_step(int rows, bool prefix_cache, int window) {
  EngineOptions options;
  options.context_tokens_max = 4096;
  options.kv = KvPlan::full(rows * (kContext + 512) / 16 + rows);
  options.rows_max = rows;
  options.step_tokens_max = 64 * rows;  // so that all rows decode together for long
  options.step_target = {};
  options.prefix_cache = prefix_cache;
  KvGroupSpec sliding{KvKind::kSliding};
  sliding.window = window;
  const Sight sight{KvKind::kSliding, window, 16};
  if (window > 0)
    options.kv.add(sliding,
                   rows * sight.blocks_over(1) + sight.blocks_min(options.step_tokens_max));
  std::atomic<bool> go = false;
  std::vector<double> host_us;
  auto engine = Engine::start(options, [&]() -> Result<std::unique_ptr<Runner>> {
    return std::unique_ptr<Runner>(std::make_unique<TimingRunner>(rows, go, host_us));
  });
  std::vector<std::shared_ptr<EventStream>> streams;
  for (int row = 0; row < rows; ++row) {
    Submission submission;
    submission.tokens.assign(kContext, row);
    submission.stop.max_tokens = 500;
    streams.push_back((*engine)->submit(std::move(submission)).value());
  }
  go = true;
  go.notify_one();
  (*engine)->drain(std::chrono::seconds(60));
  engine->reset();
  fmt::print(
      "{{\"bench\":\"step\",\"rows\":{},\"context\":{},\"prefix_cache\":{},\"window\":{},"
      "\"steps\":{},\"median_us\":{:.1f},\"p99_us\":{:.1f}}}\n",
      rows, kContext, prefix_cache, window, host_us.size(), at_share(host_us, 0.5),
      at_share(host_us, 0.99));
}

/// The best of a few runs: neighbours on the machine only ever add.
template <typename Call>
double best_us(int runs, Call&& call) {
  double best = 1e12;
  for (int i = 0; i < runs; ++i) {
    const Clock::time_point start = Clock::now();
    call();
    best = std::min(best, us_since(start));
  }
  return best;
}

void bench_hashes() {
  BlockHasher hasher;
  const std::vector<Token> tokens(16, 12345);
  BlockHash hash = hasher.root("model");
  constexpr int kBlocks = 10000;
  const double us = best_us(5, [&] {
    for (int i = 0; i < kBlocks; ++i) hash = hasher.child(hash, tokens);
  });
  fmt::print("{{\"bench\":\"block_hash\",\"tokens\":16,\"us\":{:.3f}}}\n", us / kBlocks);
}

/// Submits a prompt of which all is cached, to its first plan.
void bench_admission(int prompt_tokens) {
  SchedulerOptions options;
  options.context_tokens_max = 2 * prompt_tokens;
  options.kv = KvPlan::full(prompt_tokens / 4);
  Scheduler scheduler(options);
  Submission submission;
  for (int i = 0; i < prompt_tokens; ++i) submission.tokens.push_back(i);
  submission.stop.max_tokens = 1;
  uint64_t ids = 0;
  const auto run_one = [&] {
    double us = 0;
    if (!scheduler.submit(SequenceId{++ids}, submission).ok()) std::abort();
    while (true) {
      const Clock::time_point start = Clock::now();
      const StepPlan plan = scheduler.next({});
      if (us == 0) us = us_since(start);
      StepOutput output;
      output.rows.resize(plan.rows.size());
      for (RowOutput& row : output.rows) row.sampled = true;
      scheduler.commit(plan, std::move(output), {});
      if (plan.rows.empty()) return us;
    }
  };
  run_one();
  double best = 1e12;
  for (int i = 0; i < 20; ++i) best = std::min(best, run_one());
  fmt::print("{{\"bench\":\"cached_admission\",\"prompt_tokens\":{},\"us\":{:.1f}}}\n",
             prompt_tokens, best);
}

}  // namespace
}  // namespace pippin::engine

int main(int argc, char** argv) {
  using namespace pippin::engine;
  for (const int rows : {1, 16, 64, 256}) {
    bench_step(rows, true, 0);
    bench_step(rows, false, 0);
    bench_step(rows, true, 512);
  }
  bench_hashes();
  for (const int tokens : {1000, 8000, 32000}) bench_admission(tokens);
  return argc < 2 || bench_real_step(argv[1]) ? 0 : 1;
}
