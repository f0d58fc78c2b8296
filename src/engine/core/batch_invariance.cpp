#include "engine/core/batch_invariance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "engine/core/direct_run.h"

namespace pippin::engine {
namespace {

int positions_of(const Submission& submission) {
  return static_cast<int>(submission.tokens.size()) + submission.stop.max_tokens;
}

class Check {
 public:
  Check(Runner& runner, const BatchInvarianceOptions& options,
        const std::vector<Submission>& prompts)
      : runner_(runner), options_(options), prompts_(prompts) {}

  Result<std::vector<Agreement>> all() {
    tell("alone");
    ASSIGN_OR_RETURN(exclusive_, one_by_one(cold()));
    for (const int rows : options_.rows) RETURN_IF_ERROR(beside_others(rows));
    for (const int chunk : options_.chunks) RETURN_IF_ERROR(in_chunks(chunk));
    if (options_.scheduler.prefix_cache) RETURN_IF_ERROR(from_cache());
    RETURN_IF_ERROR(preempted());
    return std::move(agreements_);
  }

 private:
  using Answers = std::vector<DirectAnswer>;

  void tell(const std::string& name) {
    if (options_.progress) options_.progress(name);
  }

  SchedulerOptions cold() const {
    SchedulerOptions options = options_.scheduler;
    options.prefix_cache = false;
    return options;
  }

  Result<Answers> one_by_one(const SchedulerOptions& options) {
    DirectRun run(runner_, options, ids_);
    return one_by_one(run);
  }
  Result<Answers> one_by_one(DirectRun& run) {
    Answers answers;
    for (const Submission& prompt : prompts_) {
      ASSIGN_OR_RETURN(Answers answer, run.run({prompt}, 0));
      answers.push_back(std::move(answer[0]));
    }
    return answers;
  }

  /// Compares answers to the prompts of these places.
  void compare(const std::string& name, const Answers& got, const std::vector<size_t>& places,
               std::string note = {}) {
    Agreement agreement;
    agreement.name = name;
    agreement.note = std::move(note);
    for (size_t i = 0; i < got.size(); ++i)
      agreement.add(static_cast<int>(places[i]), got[i].tokens, exclusive_[places[i]].tokens);
    agreements_.push_back(std::move(agreement));
  }
  /// Compares answers to all prompts.
  void compare(const std::string& name, const Answers& got, std::string note = {}) {
    std::vector<size_t> places(got.size());
    std::iota(places.begin(), places.end(), size_t{0});
    compare(name, got, places, std::move(note));
  }

  /// Groups of `rows`, a new one arriving in each step, so that prompts are computed beside
  /// answers.
  Result<void> beside_others(int rows) {
    const std::string name = fmt::format("{} rows", rows);
    tell(name);
    Answers answers;
    for (size_t begin = 0; begin < prompts_.size(); begin += static_cast<size_t>(rows)) {
      const size_t end = std::min(prompts_.size(), begin + static_cast<size_t>(rows));
      const std::vector<Submission> group(prompts_.begin() + static_cast<ptrdiff_t>(begin),
                                          prompts_.begin() + static_cast<ptrdiff_t>(end));
      SchedulerOptions options = cold();
      options.rows_max = std::max(options.rows_max, rows);
      DirectRun run(runner_, options, ids_);
      ASSIGN_OR_RETURN(Answers got, run.run(group, 1));
      std::move(got.begin(), got.end(), std::back_inserter(answers));
    }
    compare(name, answers);
    return {};
  }

  Result<void> in_chunks(int chunk) {
    const std::string name = fmt::format("chunks of {}", chunk);
    tell(name);
    SchedulerOptions options = cold();
    options.step_tokens_max = chunk;
    ASSIGN_OR_RETURN(const Answers answers, one_by_one(options));
    compare(name, answers);
    return {};
  }

  Result<void> from_cache() {
    tell("cached prefix");
    DirectRun run(runner_, options_.scheduler, ids_);
    RETURN_IF_ERROR(one_by_one(run));
    ASSIGN_OR_RETURN(const Answers answers, one_by_one(run));
    const bool cached = std::any_of(answers.begin(), answers.end(), [](const DirectAnswer& answer) {
      return answer.finish.cached_tokens > 0;
    });
    compare("cached prefix", answers, cached ? "" : "the prompts are too short to be cached");
    return {};
  }

  /// The shorter half together in a pool for two of its longest: they grow into each other's way.
  Result<void> preempted() {
    tell("preempted");
    SchedulerOptions options = cold();
    std::vector<int> lengths;
    for (const Submission& prompt : prompts_) lengths.push_back(positions_of(prompt));
    std::sort(lengths.begin(), lengths.end());
    const int longest = lengths[(lengths.size() - 1) / 2];
    std::vector<Submission> shorter;
    std::vector<size_t> places;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      if (positions_of(prompts_[i]) > longest) continue;
      shorter.push_back(prompts_[i]);
      places.push_back(i);
    }
    for (KvGroupPlan& group : options.kv.groups) {
      if (group.kind != KvKind::kFull) continue;
      group.blocks = std::min(group.blocks, 2 * (longest / options.kv.block_positions + 1));
    }
    DirectRun run(runner_, options, ids_);
    ASSIGN_OR_RETURN(const Answers answers, run.run(shorter, 0));
    compare("preempted", answers, places,
            run.status().preemptions > 0 ? "" : "nothing had to be preempted");
    return {};
  }

  Runner& runner_;
  const BatchInvarianceOptions& options_;
  const std::vector<Submission>& prompts_;
  uint64_t ids_ = 0;
  Answers exclusive_;
  std::vector<Agreement> agreements_;
};

}  // namespace

Share wilson(int64_t successes, int64_t trials) {
  CHECK(successes >= 0 && successes <= trials);
  if (trials == 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5 % of the normal distribution lie below
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n;
  const double centre = p + kZ * kZ / (2 * n), spread = 1 + kZ * kZ / n;
  const double reach = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n));
  return {p, std::max(0.0, (centre - reach) / spread), std::min(1.0, (centre + reach) / spread)};
}

void Agreement::add(int prompt, const std::vector<Token>& got,
                    const std::vector<Token>& exclusive) {
  ++answers;
  if (got == exclusive) ++exact;
  const size_t places = std::max(got.size(), exclusive.size());
  tokens += static_cast<int64_t>(places);
  for (size_t i = 0; i < places; ++i) {
    const bool same = i < got.size() && i < exclusive.size() && got[i] == exclusive[i];
    if (same) ++agreed;
    if (same || first_prompt >= 0) continue;
    first_prompt = prompt;
    first_token = static_cast<int>(i);
  }
}

Result<std::vector<Agreement>> check_batch_invariance(Runner& runner,
                                                      const BatchInvarianceOptions& options,
                                                      const std::vector<Submission>& prompts) {
  CHECK(prompts.size() >= 2);
  return Check(runner, options, prompts).all();
}

int batch_invariance_blocks(const std::vector<Submission>& prompts, int block_positions) {
  int blocks = 0;
  // One more each for growth ahead, and one kept back.
  for (const Submission& prompt : prompts) blocks += positions_of(prompt) / block_positions + 3;
  return blocks;
}

}  // namespace pippin::engine
