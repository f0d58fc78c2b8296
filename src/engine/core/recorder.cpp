#include "engine/core/recorder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <charconv>
#include <deque>
#include <istream>
#include <ostream>
#include <string_view>
#include <vector>

namespace pippin::engine {
namespace {

int64_t ns_of(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

TimePoint time_of(int64_t ns) { return TimePoint(std::chrono::nanoseconds(ns)); }

/// Stands for a row's whole tables of blocks (FNV-1a); they themselves would make a line as long as
/// the context.
uint32_t hash_of_tables(const PlanRow& row) {
  uint32_t hash = 2166136261u;
  for (const auto* blocks : {&row.blocks, &row.window_blocks})
    for (const BlockId block : *blocks) hash = (hash ^ static_cast<uint32_t>(block)) * 16777619u;
  return hash;
}

std::string ids_of(const std::vector<SequenceId>& sequences) {
  std::vector<uint64_t> ids;
  for (const SequenceId id : sequences) ids.push_back(id.value);
  return fmt::format("[{}]", fmt::join(ids, ","));
}

std::string options_line(const SchedulerOptions& o) {
  return fmt::format(
      R"({{"options":1,"context":{},"blocks":{},"block_positions":{},"kv_type":"{}","window":{},)"
      R"("window_blocks":{},"rows":{},"queue":{},"step_tokens":{},)"
      R"("step_target_ns":{},"slow_reader_ns":{},"prefix_cache":{},"serial":{}}})",
      o.context_tokens_max, o.blocks, o.block_positions, o.kv_type, o.window, o.window_blocks,
      o.rows_max, o.queue_max, o.step_tokens_max, std::chrono::nanoseconds(o.step_target).count(),
      std::chrono::nanoseconds(o.slow_reader_max).count(), int{o.prefix_cache}, int{o.serial});
}

/// A plan's tokens follow from what went in before, so their count is enough.
std::string plan_line(const StepPlan& plan, TimePoint now) {
  fmt::memory_buffer line;
  const auto out = std::back_inserter(line);
  fmt::format_to(out, R"({{"plan":{},"now_ns":{},"admitted":{},"released":{},"copies":[)",
                 plan.step, ns_of(now), ids_of(plan.admitted), ids_of(plan.released));
  const char* comma = "";
  for (const auto* copies : {&plan.copies, &plan.window_copies}) {
    for (const BlockCopy& copy : *copies) {
      fmt::format_to(out, "{}[{},{},{}]", std::exchange(comma, ","), copy.from, copy.to,
                     copy.positions);
    }
  }
  fmt::format_to(out, R"(],"rows":[)");
  comma = "";
  for (const PlanRow& row : plan.rows) {
    fmt::format_to(out, "{}[{},{},{},{},{},{},{},{}]", std::exchange(comma, ","),
                   row.sequence.value, row.start, row.tokens.size(), int{row.sample}, row.generated,
                   int{row.first}, row.blocks.size(), hash_of_tables(row));
  }
  fmt::format_to(out, "]}}");
  return fmt::to_string(line);
}

/// Reads the integers of recorded lines: `"key":1` or `"key":[1,2,[3,4]]`, nesting dropped.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}

  bool has(std::string_view key) const { return find(key) != std::string_view::npos; }

  std::vector<int64_t> integers(std::string_view key) const {
    std::vector<int64_t> values;
    size_t at = find(key);
    if (at == std::string_view::npos) return values;
    for (int depth = 0; at < text_.size(); ++at) {
      const char c = text_[at];
      if (c == '[') ++depth;
      if (c == ']' || c == '}') --depth;
      if (depth < 0 || (depth == 0 && c == ',')) break;
      if (c != '-' && std::isdigit(static_cast<unsigned char>(c)) == 0) continue;
      int64_t value = 0;
      const auto read = std::from_chars(text_.data() + at, text_.data() + text_.size(), value);
      if (read.ec != std::errc()) break;
      values.push_back(value);
      at = static_cast<size_t>(read.ptr - text_.data()) - 1;
    }
    return values;
  }

  /// Returns: the one integer of a key, 0 without it.
  int64_t integer(std::string_view key) const {
    const std::vector<int64_t> values = integers(key);
    return values.empty() ? 0 : values.front();
  }
  int number(std::string_view key) const { return static_cast<int>(integer(key)); }
  SequenceId id(std::string_view key) const {
    return SequenceId{static_cast<uint64_t>(integer(key))};
  }
  std::vector<Token> tokens(std::string_view key) const {
    std::vector<Token> tokens;
    for (const int64_t value : integers(key)) tokens.push_back(static_cast<Token>(value));
    return tokens;
  }

 private:
  size_t find(std::string_view key) const {
    const std::string quoted = fmt::format("\"{}\":", key);
    const size_t at = text_.find(quoted);
    return at == std::string_view::npos ? at : at + quoted.size();
  }

  std::string_view text_;
};

SchedulerOptions read_options(const Line& line) {
  SchedulerOptions options;
  options.context_tokens_max = line.number("context");
  options.blocks = line.number("blocks");
  options.block_positions = line.number("block_positions");
  options.window = line.number("window");
  options.window_blocks = line.number("window_blocks");
  options.rows_max = line.number("rows");
  options.queue_max = line.number("queue");
  options.step_tokens_max = line.number("step_tokens");
  options.step_target = std::chrono::nanoseconds(line.integer("step_target_ns"));
  options.slow_reader_max = std::chrono::nanoseconds(line.integer("slow_reader_ns"));
  options.prefix_cache = line.integer("prefix_cache") != 0;
  options.serial = line.integer("serial") != 0;
  return options;
}

Submission read_submission(const Line& line) {
  Submission submission;
  submission.tokens = line.tokens("tokens");
  submission.sampling.prompt_logprobs = line.number("prompt_logprobs");
  submission.stop.stop_tokens = line.tokens("stop_tokens");
  submission.stop.max_tokens = line.number("max_tokens");
  submission.stop.min_tokens = line.number("min_tokens");
  submission.stop.ignore_eos = line.integer("ignore_eos") != 0;
  submission.priority = static_cast<Priority>(line.number("priority"));
  submission.alone = line.integer("alone") != 0;
  if (line.has("deadline_ns")) submission.deadline = time_of(line.integer("deadline_ns"));
  submission.cache_salt = std::to_string(line.integer("salt"));
  return submission;
}

/// A row of an output: sampled, token, error, complete, the number of forced tokens, and these.
constexpr size_t kRowValues = 5;

StepOutput read_output(const Line& line) {
  StepOutput output;
  const std::vector<int64_t> values = line.integers("rows");
  for (size_t i = 0; i + kRowValues <= values.size(); i += kRowValues) {
    RowOutput& row = output.rows.emplace_back();
    row.sampled = values[i] != 0;
    row.token = static_cast<Token>(values[i + 1]);
    if (values[i + 2] != 0) row.error = fail(Code::kInternal, "[recorder] a row that failed");
    row.complete = values[i + 3] != 0;
    for (int64_t forced = values[i + 4]; forced > 0 && i + kRowValues < values.size();
         --forced, ++i)
      row.forced.push_back(static_cast<Token>(values[i + kRowValues]));
  }
  return output;
}

/// Feeds recorded lines to a scheduler of its own.
class Player {
 public:
  explicit Player(const SchedulerOptions& options) : scheduler_(options) {}

  Result<void> play(std::string_view text) {
    const Line line(text);
    if (line.has("submit")) return scheduler_.submit(line.id("submit"), read_submission(line));
    if (line.has("cancel")) {
      scheduler_.cancel(line.id("cancel"), static_cast<FinishReason>(line.number("reason")));
    } else if (line.has("pause")) {
      scheduler_.pause(line.id("pause"), time_of(line.integer("now_ns")));
    } else if (line.has("resume")) {
      scheduler_.resume(line.id("resume"));
    } else if (line.has("serialise")) {
      scheduler_.serialise();
    } else if (line.has("plan")) {
      return plan(text, time_of(line.integer("now_ns")));
    } else if (line.has("output")) {
      return commit(line);
    } else {
      return fail(Code::kInvalidFile, "expected a recorded event, got something else");
    }
    return {};
  }

  int plans() const { return plans_; }

 private:
  Result<void> plan(std::string_view recorded, TimePoint now) {
    // A plan before the output of the last one is of a step that followed it.
    if (under_way_.size() > 1) return fail(Code::kInvalidFile, "expected an output, got a plan");
    std::optional<StepPlan> plan =
        under_way_.empty() ? scheduler_.next(now) : scheduler_.follow(under_way_.front(), now);
    if (!plan) return fail(Code::kInvalidFile, "there is now no plan that follows");
    ++plans_;
    const std::string again = plan_line(*plan, now);
    under_way_.push_back(*std::move(plan));
    if (again == recorded) return {};
    return fail(Code::kInvalidFile, "the plan is now " + again);
  }

  Result<void> commit(const Line& line) {
    StepOutput output = read_output(line);
    if (under_way_.empty() || output.rows.size() != under_way_.front().rows.size()) {
      return fail(Code::kInvalidFile, "expected an output for each row of a plan");
    }
    scheduler_.commit(under_way_.front(), std::move(output), time_of(line.integer("now_ns")));
    under_way_.pop_front();
    return {};
  }

  Scheduler scheduler_;
  std::deque<StepPlan> under_way_;
  int plans_ = 0;
};

}  // namespace

Recorder::Recorder(std::ostream& out, const SchedulerOptions& options) : out_(out) {
  out_ << options_line(options) << '\n';
}

void Recorder::submitted(SequenceId id, const Submission& submission) {
  const StopRules& stop = submission.stop;
  out_ << fmt::format(
      R"({{"submit":{},"max_tokens":{},"min_tokens":{},"ignore_eos":{},"stop_tokens":[{}],"priority":{},)"
      R"("prompt_logprobs":{},"salt":{})",
      id.value, stop.max_tokens, stop.min_tokens, int{stop.ignore_eos},
      fmt::join(stop.stop_tokens, ","), static_cast<int>(submission.priority),
      submission.sampling.prompt_logprobs,
      static_cast<uint32_t>(std::hash<std::string>()(submission.cache_salt)));
  if (submission.alone) out_ << R"(,"alone":1)";
  if (submission.deadline) out_ << fmt::format(R"(,"deadline_ns":{})", ns_of(*submission.deadline));
  out_ << fmt::format(R"(,"tokens":[{}]}})", fmt::join(submission.tokens, ",")) << '\n';
}

void Recorder::cancelled(SequenceId id, FinishReason reason) {
  out_ << fmt::format(R"({{"cancel":{},"reason":{}}})", id.value, static_cast<int>(reason)) << '\n';
}

void Recorder::paused(SequenceId id, TimePoint now) {
  out_ << fmt::format(R"({{"pause":{},"now_ns":{}}})", id.value, ns_of(now)) << '\n';
}

void Recorder::resumed(SequenceId id) {
  out_ << fmt::format(R"({{"resume":{}}})", id.value) << '\n';
}

void Recorder::serialised() { out_ << "{\"serialise\":1}\n"; }

void Recorder::planned(const StepPlan& plan, TimePoint now) {
  out_ << plan_line(plan, now) << '\n';
}

void Recorder::ran(const StepOutput& output, TimePoint now) {
  out_ << fmt::format(R"({{"output":{},"now_ns":{},"rows":[)", output.step, ns_of(now));
  const char* comma = "";
  for (const RowOutput& row : output.rows) {
    out_ << fmt::format("{}[{},{},{},{},{}{}{}]", std::exchange(comma, ","), int{row.sampled},
                        row.token, int{row.error.has_value()}, int{row.complete}, row.forced.size(),
                        row.forced.empty() ? "" : ",", fmt::join(row.forced, ","));
  }
  out_ << "]}\n";
}

Result<int> replay(std::istream& recording) {
  std::string text;
  std::getline(recording, text);
  const SchedulerOptions options = read_options(Line(text));
  for (const int limit : {options.context_tokens_max, options.blocks, options.block_positions,
                          options.rows_max, options.queue_max, options.step_tokens_max}) {
    if (limit <= 0) return fail(Code::kInvalidFile, "[replay] line 1: expected the options");
  }
  if (!options.windows_suffice())
    return fail(Code::kInvalidFile, "[replay] line 1: expected more blocks for windows");
  Player player(options);
  for (int number = 2; std::getline(recording, text); ++number) {
    if (const Result<void> played = player.play(text); !played.ok()) {
      return fail(Code::kInvalidFile,
                  fmt::format("[replay] line {}: {}", number, played.error().message));
    }
  }
  return player.plans();
}

}  // namespace pippin::engine
