#include "engine/core/recorder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <charconv>
#include <deque>
#include <istream>
#include <memory>
#include <ostream>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pippin::engine {
namespace {

int64_t ns_of(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

TimePoint time_of(int64_t ns) { return TimePoint(std::chrono::nanoseconds(ns)); }

/// Hashes a row's block tables (FNV-1a): written out, they would make lines as long as the context.
uint32_t hash_of_tables(const PlanRow& row) {
  uint32_t hash = 2166136261u;
  for (const BlockTable& table : row.kv)
    for (const BlockId block : table) hash = (hash ^ static_cast<uint32_t>(block)) * 16777619u;
  return hash;
}

std::string ids_of(const std::vector<SequenceId>& sequences) {
  std::vector<uint64_t> ids;
  for (const SequenceId id : sequences) ids.push_back(id.value);
  return fmt::format("[{}]", fmt::join(ids, ","));
}

/// Stands for a text of which only equality matters.
uint32_t id_of(const std::string& text) {
  return static_cast<uint32_t>(std::hash<std::string>()(text));
}

std::string options_line(const SchedulerOptions& o) {
  std::string groups;
  for (const KvGroupPlan& group : o.kv.groups) {
    groups +=
        fmt::format("{}[{},{},{},{}]", groups.empty() ? "" : ",", static_cast<int>(group.kind),
                    group.blocks, group.window, group.checkpoint_positions);
  }
  return fmt::format(
      R"({{"options":1,"context":{},"block_positions":{},"kv_type":"{}","groups":[{}],)"
      R"("rows":{},"queue":{},"step_tokens":{},"drafts_max":{},)"
      R"("step_target_ns":{},"slow_reader_ns":{},"prefix_cache":{},"serial":{},)"
      R"("inputs":[{},{},{},{},{}]}})",
      o.context_tokens_max, o.kv.block_positions, o.kv.type, groups, o.rows_max, o.queue_max,
      o.step_tokens_max, o.drafts_max, std::chrono::nanoseconds(o.step_target).count(),
      std::chrono::nanoseconds(o.slow_reader_max).count(), int{o.prefix_cache},
      int{o.deterministic}, o.inputs.position_components, int{o.inputs.both_ways},
      o.inputs.embedding_width, int{o.inputs.encoded}, int{o.inputs.pooling});
}

/// A plan's tokens follow from what went in before, so their count is enough.
std::string plan_line(const StepPlan& plan, TimePoint now) {
  fmt::memory_buffer line;
  const auto out = std::back_inserter(line);
  fmt::format_to(out, R"({{"plan":{},"now_ns":{},"admitted":{},"released":{},"copies":[)",
                 plan.step, ns_of(now), ids_of(plan.admitted), ids_of(plan.released));
  const char* comma = "";
  for (const BlockCopy& copy : plan.copies) {
    fmt::format_to(out, "{}[{},{},{},{}]", std::exchange(comma, ","), copy.group, copy.from,
                   copy.to, copy.positions);
  }
  fmt::format_to(out, R"(],"encodes":[)");
  comma = "";
  for (const EncodeItem& item : plan.encodes) {
    fmt::format_to(out, "{}[{},{},{}]", std::exchange(comma, ","), item.sequence.value, item.group,
                   item.block);
  }
  fmt::format_to(out, R"(],"rows":[)");
  comma = "";
  for (const PlanRow& row : plan.rows) {
    fmt::format_to(out, "{}[{},{},{},{},{},{},{},{},{}]", std::exchange(comma, ","),
                   row.sequence.value, row.start, row.tokens.size(), row.drafts, int{row.sample},
                   int{row.pool}, row.generated, int{row.first}, hash_of_tables(row));
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
  options.kv.block_positions = line.number("block_positions");
  const std::vector<int64_t> groups = line.integers("groups");
  for (size_t i = 0; i + 4 <= groups.size(); i += 4) {
    KvGroupSpec spec;
    spec.kind = static_cast<KvKind>(groups[i]);
    spec.window = static_cast<int>(groups[i + 2]);
    spec.checkpoint_positions = static_cast<int>(groups[i + 3]);
    options.kv.add(spec, static_cast<int>(groups[i + 1]));
  }
  options.rows_max = line.number("rows");
  options.queue_max = line.number("queue");
  options.step_tokens_max = line.number("step_tokens");
  options.drafts_max = line.number("drafts_max");
  options.step_target = std::chrono::nanoseconds(line.integer("step_target_ns"));
  options.slow_reader_max = std::chrono::nanoseconds(line.integer("slow_reader_ns"));
  options.prefix_cache = line.integer("prefix_cache") != 0;
  options.deterministic = line.integer("serial") != 0;
  if (const std::vector<int64_t> inputs = line.integers("inputs"); inputs.size() == 5)
    options.inputs = {static_cast<int>(inputs[0]), inputs[1] != 0, static_cast<int>(inputs[2]),
                      inputs[3] != 0, inputs[4] != 0};
  return options;
}

/// Guesses again what was guessed in the recorded run.
class RecordedDrafter final : public Drafter {
 public:
  std::vector<Token> propose(std::span<const Token>, int) override { return std::move(next); }
  std::vector<Token> next;
};

/// Stands for a constraint, of which the scheduler asks only whether there is one.
class RecordedConstraint final : public Constraint {
 public:
  Result<void> accept(std::span<const Token>) override { return {}; }
  std::vector<Token> jump_forward() override { return {}; }
  Result<void> fill_mask(std::vector<uint32_t>&) override { return {}; }
  bool complete() override { return false; }
};

Submission read_submission(const Line& line) {
  Submission submission;
  submission.tokens = line.tokens("tokens");
  submission.sampling.prompt_logprobs = line.number("prompt_logprobs");
  submission.stop.stop_tokens = line.tokens("stop_tokens");
  submission.stop.max_tokens = line.number("max_tokens");
  submission.stop.min_tokens = line.number("min_tokens");
  submission.stop.ignore_eos = line.integer("ignore_eos") != 0;
  submission.priority = static_cast<Priority>(line.number("priority"));
  submission.exclusive = line.integer("alone") != 0;
  if (line.has("deadline_ns")) submission.deadline = time_of(line.integer("deadline_ns"));
  submission.cache_salt = std::to_string(line.integer("salt"));
  submission.pooling = static_cast<Pooling>(line.number("pooling"));
  if (line.has("encoded"))
    submission.encoded = EncodedInput{std::to_string(line.integer("encoded"))};
  if (line.has("positions")) {
    submission.position_components = line.number("position_components");
    submission.positions = line.tokens("positions");
  }
  const std::vector<int64_t> media = line.integers("media");
  for (size_t i = 0; i + 4 <= media.size(); i += 4) {
    submission.media.push_back({static_cast<int>(media[i]), static_cast<int>(media[i + 1]),
                                std::to_string(media[i + 2]), media[i + 3] != 0});
  }
  return submission;
}

/// A row of an output: sampled, token, error, complete, then two lists, each behind its length:
/// jump-forward tokens and verified ones.
constexpr size_t kRowValues = 4;

std::vector<Token> take_tokens(const std::vector<int64_t>& values, size_t& at) {
  std::vector<Token> tokens;
  int64_t count = at < values.size() ? values[at++] : 0;
  for (; count > 0 && at < values.size(); --count)
    tokens.push_back(static_cast<Token>(values[at++]));
  return tokens;
}

StepOutput read_output(const Line& line) {
  StepOutput output;
  const std::vector<int64_t> values = line.integers("rows");
  for (size_t i = 0; i + kRowValues <= values.size();) {
    RowOutput& row = output.rows.emplace_back();
    row.sampled = values[i] != 0;
    row.token = static_cast<Token>(values[i + 1]);
    if (values[i + 2] != 0) row.error = fail(Code::kInternal, "[recorder] a row that failed");
    row.complete = values[i + 3] != 0;
    i += kRowValues;
    row.jump_forward = take_tokens(values, i);
    for (const Token token : take_tokens(values, i)) row.verified.push_back({token, 0, {}});
  }
  return output;
}

/// Feeds recorded lines to a scheduler of its own.
class Player {
 public:
  explicit Player(const SchedulerOptions& options) : scheduler_(options) {}

  Result<void> play(std::string_view text) {
    const Line line(text);
    if (line.has("submit")) return submit(line);
    if (line.has("cancel")) {
      scheduler_.cancel(line.id("cancel"), static_cast<FinishReason>(line.number("reason")));
    } else if (line.has("pause")) {
      scheduler_.pause(line.id("pause"), time_of(line.integer("now_ns")));
    } else if (line.has("resume")) {
      scheduler_.resume(line.id("resume"));
    } else if (line.has("serialise")) {
      scheduler_.make_deterministic();
    } else if (line.has("resize")) {
      const std::vector<int64_t> blocks = line.integers("resize");
      if (!scheduler_.resize(std::vector<int>(blocks.begin(), blocks.end())))
        return fail(Code::kInvalidFile, "the KV groups cannot be resized now");
    } else if (line.has("drafted")) {
      const auto drafter = drafters_.find(line.id("drafted"));
      if (drafter == drafters_.end())
        return fail(Code::kInvalidFile, "nothing drafts for this one");
      drafter->second->next = line.tokens("tokens");
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
  Result<void> submit(const Line& line) {
    Submission submission = read_submission(line);
    if (line.has("drafter")) {
      auto drafter = std::make_shared<RecordedDrafter>();
      drafters_[line.id("submit")] = drafter;
      submission.drafter = std::move(drafter);
    }
    if (line.has("constraint")) submission.constraint = std::make_shared<RecordedConstraint>();
    return scheduler_.submit(line.id("submit"), std::move(submission));
  }

  Result<void> plan(std::string_view recorded, TimePoint now) {
    // A plan before the output of the last one was planned asynchronously.
    if (under_way_.size() > 1) return fail(Code::kInvalidFile, "expected an output, got a plan");
    std::optional<StepPlan> plan =
        under_way_.empty() ? scheduler_.next(now) : scheduler_.next_async(under_way_.front(), now);
    if (!plan)
      return fail(Code::kInvalidFile, "the next step cannot be planned asynchronously now");
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
  std::unordered_map<SequenceId, std::shared_ptr<RecordedDrafter>> drafters_;
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
      submission.sampling.prompt_logprobs, id_of(submission.cache_salt));
  if (submission.constraint != nullptr) out_ << R"(,"constraint":1)";
  if (submission.drafter != nullptr) out_ << R"(,"drafter":1)";
  if (submission.encoded) out_ << fmt::format(R"(,"encoded":{})", id_of(submission.encoded->hash));
  if (submission.pooling != Pooling::kNone)
    out_ << fmt::format(R"(,"pooling":{})", static_cast<int>(submission.pooling));
  if (!submission.media.empty()) {
    std::string media;
    for (const MediaSpan& span : submission.media)
      media += fmt::format("{}[{},{},{},{}]", media.empty() ? "" : ",", span.begin, span.count,
                           id_of(span.hash), int{span.both_ways});
    out_ << fmt::format(R"(,"media":[{}])", media);
  }
  if (!submission.positions.empty())
    out_ << fmt::format(R"(,"position_components":{},"positions":[{}])",
                        submission.position_components, fmt::join(submission.positions, ","));
  if (submission.exclusive) out_ << R"(,"alone":1)";
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

void Recorder::made_deterministic() { out_ << "{\"serialise\":1}\n"; }

void Recorder::resized(std::span<const int> blocks) {
  out_ << fmt::format(R"({{"resize":[{}]}})", fmt::join(blocks, ",")) << '\n';
}

void Recorder::drafted(SequenceId id, const std::vector<Token>& tokens) {
  out_ << fmt::format(R"({{"drafted":{},"tokens":[{}]}})", id.value, fmt::join(tokens, ","))
       << '\n';
}

void Recorder::planned(const StepPlan& plan, TimePoint now) {
  out_ << plan_line(plan, now) << '\n';
}

void Recorder::ran(const StepOutput& output, TimePoint now) {
  out_ << fmt::format(R"({{"output":{},"now_ns":{},"rows":[)", output.step, ns_of(now));
  const char* comma = "";
  for (const RowOutput& row : output.rows) {
    std::vector<Token> verified;
    for (const SampledToken& token : row.verified) verified.push_back(token.token);
    out_ << fmt::format("{}[{},{},{},{},{}{}{},{}{}{}]", std::exchange(comma, ","),
                        int{row.sampled}, row.token, int{row.error.has_value()}, int{row.complete},
                        row.jump_forward.size(), row.jump_forward.empty() ? "" : ",",
                        fmt::join(row.jump_forward, ","), verified.size(),
                        verified.empty() ? "" : ",", fmt::join(verified, ","));
  }
  out_ << "]}\n";
}

Result<int> replay(std::istream& recording) {
  std::string text;
  std::getline(recording, text);
  const SchedulerOptions options = read_options(Line(text));
  if (const Result<void> sound = options.check(); !sound.ok())
    return fail(Code::kInvalidFile, "[replay] line 1: " + sound.error().message);
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
