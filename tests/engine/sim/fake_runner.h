// FakeRunner: a device without arithmetic, with one layer for each KV group. Its "keys and values"
// are the tokens themselves, kept block by block; its "attention" reads them back through the block
// tables and reports every entry that is not the sequence's own; its "state" is the sum of what was
// read so far. The next token is a hash of all that, so a mix-up also shows in the answer.
// fake_answer() is the same model run alone.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/runner.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/types.h"

namespace pippin::engine::testing {

inline uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline constexpr Token kFakeVocabulary = 50;
inline constexpr int kFakeForcedMax = 11;

/// What one place of a sequence holds: all that its keys and values depend on.
struct FakeEntry {
  Token token = -1;
  int place = -1;
  uint32_t salt = 0;      // everything besides tokens: the tenant, the media
  uint32_t position = 0;  // a hash of its components
  int sees_to = 0;        // the first place that it does not see
  bool operator==(const FakeEntry&) const = default;
  uint64_t hash() const {
    const uint64_t where =
        mix(static_cast<uint64_t>(position) << 32 | static_cast<uint32_t>(sees_to - place));
    return mix(mix(static_cast<uint64_t>(token) << 32 | static_cast<uint32_t>(place)) ^ salt ^
               where);
  }
};

/// A position is the hash of its components; equal ones are as good as one.
inline uint32_t fake_position(std::span<const int32_t> components) {
  if (std::all_of(components.begin(), components.end(),
                  [&](int32_t value) { return value == components.front(); }))
    return static_cast<uint32_t>(components.front());
  uint64_t hash = 0;
  for (const int32_t value : components) hash = mix(hash + static_cast<uint32_t>(value));
  return static_cast<uint32_t>(hash);
}

/// What the model makes of a submission's tokens where nothing goes wrong.
class FakeView {
 public:
  explicit FakeView(const Submission& submission)
      : submission_(&submission),
        salt_(static_cast<uint32_t>(mix(std::hash<std::string>()(submission.cache_salt)))) {
    for (const int32_t position : submission.positions) behind_ = std::max(behind_, position + 1);
  }

  const Submission& submission() const { return *submission_; }

  FakeEntry entry(Token token, int place) const {
    FakeEntry entry{token, place, salt_, position(place), place + 1};
    for (const MediaSpan& media : submission_->media) {
      if (place < media.begin || place >= media.begin + media.count) continue;
      const auto offset = static_cast<uint64_t>(place - media.begin);
      entry.salt ^= static_cast<uint32_t>(mix(std::hash<std::string>()(media.hash) + offset));
      if (media.both_ways) entry.sees_to = media.begin + media.count;
    }
    return entry;
  }

 private:
  uint32_t position(int place) const {
    if (submission_->positions.empty()) return static_cast<uint32_t>(place);
    const int prompt = static_cast<int>(submission_->tokens.size());
    if (place >= prompt) return static_cast<uint32_t>(behind_ + place - prompt);
    const auto components = static_cast<size_t>(submission_->position_components);
    return fake_position(std::span(submission_->positions)
                             .subspan(static_cast<size_t>(place) * components, components));
  }

  const Submission* submission_;
  uint32_t salt_;
  int32_t behind_ = 0;  // the first position behind the prompt's
};

/// What a sequence reads beside its own tokens.
inline uint64_t fake_start(const Submission& submission) {
  return submission.encoded ? mix(std::hash<std::string>()(submission.encoded->hash)) : 0;
}

inline std::vector<float> fake_embedding(uint64_t hash) {
  return {static_cast<float>(hash >> 40), static_cast<float>(hash & 0xFFFFFF)};
}

/// The hash of everything that a prompt's last token reads.
inline uint64_t fake_prompt_hash(const Submission& submission) {
  const FakeView view(submission);
  uint64_t hash = fake_start(submission);
  int place = 0;
  for (const Token token : submission.tokens) hash += view.entry(token, place++).hash();
  return hash;
}

inline Token fake_choice(uint64_t context_hash, const Submission& submission, int generated) {
  const uint64_t draw =
      mix(context_hash ^ mix(submission.sampling.seed + static_cast<uint64_t>(generated)));
  return static_cast<Token>(draw % kFakeVocabulary);
}

/// Stands for a grammar; the fake model asks only whether there is one.
class FakeConstraint final : public Constraint {
 public:
  Result<void> accept(std::span<const Token>) override { return {}; }
  std::vector<Token> jump_forward() override { return {}; }
  Result<void> fill_mask(std::vector<uint32_t>&) override { return {}; }
  bool complete() override { return false; }
};

/// What a grammar puts behind the token at `generated`, and whether it ends the answer there.
inline std::pair<std::vector<Token>, bool> fake_forced(const Submission& submission,
                                                       int generated) {
  std::vector<Token> forced;
  if (submission.constraint == nullptr) return {forced, false};
  const uint64_t draw = mix(mix(submission.sampling.seed) + static_cast<uint64_t>(generated));
  if (draw % 4 == 0)
    for (uint64_t i = 0; i < draw / 4 % (kFakeForcedMax + 1); ++i)
      forced.push_back(static_cast<Token>(mix(draw + i) % kFakeVocabulary));
  return {forced, draw / 64 % 30 == 0};
}

/// The answer of the fake model alone: up to `tokens_max` tokens, the stop token included.
inline std::vector<Token> fake_answer(const Submission& submission, int tokens_max) {
  std::vector<Token> answer;
  uint64_t hash = fake_prompt_hash(submission);
  int place = static_cast<int>(submission.tokens.size());
  const FakeView view(submission);
  while (static_cast<int>(answer.size()) < tokens_max) {
    const int generated = static_cast<int>(answer.size());
    auto [tokens, complete] = fake_forced(submission, generated);
    tokens.insert(tokens.begin(), fake_choice(hash, submission, generated));
    for (const Token token : tokens) {
      if (static_cast<int>(answer.size()) == tokens_max) return answer;
      const int index = static_cast<int>(answer.size());
      answer.push_back(token);
      const auto& stop = submission.stop;
      bool stops = false;
      for (const Token stop_token : stop.stop_tokens) stops |= stop_token == token;
      if (stops && !stop.ignore_eos && index >= stop.min_tokens) return answer;
      hash += view.entry(token, place++).hash();
    }
    if (complete) break;
  }
  return answer;
}

class FakeRunner final : public Runner {
 public:
  explicit FakeRunner(const KvPlan& plan) : positions_(plan.block_positions) {
    for (const KvGroupPlan& group : plan.groups) groups_.emplace_back(group, positions_);
  }
  explicit FakeRunner(const SchedulerOptions& options) : FakeRunner(options.kv) {}
  FakeRunner(int blocks, int block_positions) : FakeRunner(KvPlan::full(blocks, block_positions)) {}

  /// Decides which rows fail; none without it.
  std::function<bool(const PlanRow&)> fails;
  /// What went wrong, at most a few; empty when every row read what its sequence wrote.
  const std::vector<std::string>& faults() const { return faults_; }
  uint64_t computed_tokens() const { return computed_tokens_; }
  uint64_t encoded() const { return encoded_; }
  size_t states() const { return states_.size(); }
  /// Says whether a copy's target holds something else so far.
  bool changes(const BlockCopy& copy) {
    Group& group = groups_.at(static_cast<size_t>(copy.group));
    if (copy.positions == 0)
      return group.folds.at(static_cast<size_t>(copy.from)) !=
             group.folds.at(static_cast<size_t>(copy.to));
    for (int i = 0; i < copy.positions; ++i)
      if (entry(group, copy.to, i) != entry(group, copy.from, i)) return true;
    return false;
  }

  void admit(SequenceId id, const Submission& submission) override {
    expect(states_.try_emplace(id, State{FakeView(submission), {}}).second, id,
           "is admitted twice");
  }

  StepOutput run(const StepPlan& plan) override {
    copy(plan.copies);
    for (const EncodeItem& item : plan.encodes) encode(item);
    for (size_t g = 0; g < groups_.size(); ++g) check_writers(plan, g);
    StepOutput output;
    output.step = plan.step;
    output.rows.reserve(plan.rows.size());
    for (const PlanRow& row : plan.rows) output.rows.push_back(run_row(with_tokens(row)));
    last_rows_ = output.rows;
    for (const SequenceId id : plan.released) {
      expect(states_.erase(id) == 1, id, "is released unseen");
    }
    return output;
  }

 private:
  struct State {
    FakeView view;
    std::vector<Token> sampled;
  };

  /// A recurrent state: the sum of the entries before `position`.
  struct Fold {
    int position = -1;
    uint64_t hash = 0;
    bool operator==(const Fold&) const = default;
  };

  /// The blocks of one group.
  struct Group {
    Group(const KvGroupPlan& plan, int positions)
        : spec(plan),
          writer(static_cast<size_t>(plan.blocks), SequenceId{0}),
          entries(keeps_positions()
                      ? static_cast<size_t>(plan.blocks) * static_cast<size_t>(positions)
                      : 0),
          folds(plan.kind == KvKind::kState ? static_cast<size_t>(plan.blocks) : 0),
          inputs(plan.kind == KvKind::kCross ? static_cast<size_t>(plan.blocks) : 0) {}

    bool keeps_positions() const {
      return spec.kind != KvKind::kState && spec.kind != KvKind::kCross;
    }
    /// The first position that the query at `position` sees.
    int first_seen(int position) const {
      if (spec.kind == KvKind::kSliding) return std::max(0, position - spec.window + 1);
      if (spec.kind == KvKind::kChunked) return position / spec.window * spec.window;
      return 0;
    }

    KvGroupPlan spec;
    std::vector<SequenceId> writer;  // of each block in the current step; 0 = none
    std::vector<FakeEntry> entries;  // [P, S]
    std::vector<Fold> folds;
    std::vector<std::string> inputs;
  };

  void expect(bool holds, SequenceId id, std::string_view what) {
    if (!holds && faults_.size() < 5)
      faults_.push_back(fmt::format("sequence {} {}", id.value, what));
  }

  FakeEntry& entry(Group& group, BlockId block, int place) {
    return group.entries.at(static_cast<size_t>(block) * static_cast<size_t>(positions_) +
                            static_cast<size_t>(place % positions_));
  }

  void copy(const std::vector<BlockCopy>& copies) {
    for (const BlockCopy& copy : copies) {
      for (const BlockCopy& other : copies) {
        expect(copy.group != other.group || copy.to != other.from, SequenceId{0},
               "copies to where another copy reads");
      }
      Group& group = groups_.at(static_cast<size_t>(copy.group));
      const auto from = static_cast<size_t>(copy.from), to = static_cast<size_t>(copy.to);
      if (copy.positions == 0) {
        group.folds.at(to) = group.folds.at(from);
        continue;
      }
      for (int i = 0; i < copy.positions; ++i)
        entry(group, copy.to, i) = entry(group, copy.from, i);
    }
  }

  void encode(const EncodeItem& item) {
    const auto found = states_.find(item.sequence);
    expect(found != states_.end(), item.sequence, "is encoded before it was admitted");
    if (found == states_.end()) return;
    groups_.at(static_cast<size_t>(item.group)).inputs.at(static_cast<size_t>(item.block)) =
        found->second.view.submission().encoded->hash;
    ++encoded_;
  }

  /// No block that a row writes is in another row's table.
  void check_writers(const StepPlan& plan, size_t g) {
    Group& group = groups_[g];
    if (group.spec.kind == KvKind::kCross) return;
    const auto writer_of = [&](BlockId block) -> SequenceId& {
      return group.writer.at(static_cast<size_t>(block));
    };
    for (const PlanRow& row : plan.rows) {
      const BlockTable& blocks = row.kv.at(g);
      const int first = group.keeps_positions() ? row.start / positions_ : 0;
      for (size_t i = static_cast<size_t>(first); i < blocks.size(); ++i) {
        expect(blocks[i] >= 0, row.sequence, "writes a block that it does not hold");
        if (blocks[i] < 0) continue;
        SequenceId& writer = writer_of(blocks[i]);
        expect(writer.value == 0, row.sequence, "writes a block that another row writes");
        writer = row.sequence;
      }
    }
    for (const PlanRow& row : plan.rows) {
      for (const BlockId block : row.kv.at(g)) {
        if (block < 0) continue;
        const SequenceId writer = writer_of(block);
        expect(writer.value == 0 || writer == row.sequence, row.sequence,
               "reads a block that another row writes");
      }
    }
    for (const PlanRow& row : plan.rows) {
      for (const BlockId block : row.kv.at(g))
        if (block >= 0) writer_of(block) = SequenceId{0};
    }
  }

  // Puts in the token that a row of the step before gave; none if that row failed.
  PlanRow with_tokens(PlanRow row) const {
    if (row.previous_row < 0) return row;
    const RowOutput& before = last_rows_.at(static_cast<size_t>(row.previous_row));
    if (before.sampled)
      row.tokens = {before.token};
    else
      row.tokens.clear();
    return row;
  }

  /// Checks what a plan says of a row. Returns: whether it can be run.
  bool check_row(const PlanRow& row, const State& state) {
    const Submission& submission = state.view.submission();
    const int length =
        static_cast<int>(submission.tokens.size()) + static_cast<int>(state.sampled.size());
    const int end = row.start + static_cast<int>(row.tokens.size());
    const int known = end - row.drafts;
    expect(known > row.start && known <= length, row.sequence, "computes tokens it does not have");
    expect(row.generated == static_cast<int>(state.sampled.size()), row.sequence, "miscounts");
    expect((row.sample || row.pool) == (known == length), row.sequence,
           "samples at the wrong place");
    expect(row.pool == (known == length && submission.pooling != Pooling::kNone), row.sequence,
           "pools at the wrong place");
    expect(row.drafts == 0 || row.sample, row.sequence, "guesses before its end");
    expect(!groups_.empty() || (row.start == 0 && known == length), row.sequence,
           "is cut where nothing is kept");
    expect(row.kv.size() == groups_.size(), row.sequence, "lacks a table");
    if (row.kv.size() != groups_.size()) return false;
    const int blocks = (end + positions_ - 1) / positions_;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const int wanted = groups_[g].keeps_positions() ? blocks : 1;
      expect(static_cast<int>(row.kv[g].size()) == wanted, row.sequence,
             "has a table of wrong size");
    }
    return faults_.empty();
  }

  RowOutput run_row(const PlanRow& row) {
    RowOutput output;
    if (row.previous_row >= 0 && row.tokens.empty()) return output;  // the scheduler drops it
    const auto found = states_.find(row.sequence);
    if (found == states_.end()) {
      expect(false, row.sequence, "has a row before it was admitted");
      return output;
    }
    State& state = found->second;
    if (!check_row(row, state)) return output;
    if (fails && fails(row)) {
      output.error = fail(Code::kInternal, "[fake_runner] a row that fails");
      for (size_t g = 0; g < groups_.size(); ++g)  // what it did to its state nobody knows
        if (groups_[g].spec.kind == KvKind::kState)
          groups_[g].folds.at(static_cast<size_t>(row.kv[g][0])) = Fold{};
      return output;
    }
    computed_tokens_ += row.tokens.size();
    const Submission& submission = state.view.submission();
    const int prompt = static_cast<int>(submission.tokens.size());
    const int end = row.start + static_cast<int>(row.tokens.size());
    const int known = end - row.drafts;
    const auto own = [&](int position) {
      const Token token =
          position >= row.start ? row.tokens[static_cast<size_t>(position - row.start)]
          : position < prompt   ? submission.tokens[static_cast<size_t>(position)]
                                : state.sampled[static_cast<size_t>(position - prompt)];
      return state.view.entry(token, position);
    };
    const auto computed = [&](int position) { return with_inputs(row, own(position)); };
    uint64_t hash = fake_start(submission);
    for (int position = 0; position < known; ++position) {
      const Token token = position < prompt ? submission.tokens[static_cast<size_t>(position)]
                                            : state.sampled[static_cast<size_t>(position - prompt)];
      expect(own(position).token == token, row.sequence, "computes tokens that are not its own");
      hash += position < row.start ? own(position).hash() : computed(position).hash();
    }
    for (size_t g = 0; g < groups_.size(); ++g)
      go_through(groups_[g], row, row.kv[g], own, computed);
    add_prompt_logprobs(row, submission, output);
    if (row.pool) output.embedding = fake_embedding(hash);
    if (row.sample) sample(row, state, hash, own, output);
    return output;
  }

  /// What the device computes of a place of the row: by the positions and spans that the row
  /// states.
  static FakeEntry with_inputs(const PlanRow& row, FakeEntry entry) {
    entry.position = static_cast<uint32_t>(entry.place);
    entry.sees_to = entry.place + 1;
    if (!row.positions.empty()) {
      const size_t components = row.positions.size() / row.tokens.size();
      entry.position = fake_position(
          std::span(row.positions)
              .subspan(static_cast<size_t>(entry.place - row.start) * components, components));
    }
    const int end = row.start + static_cast<int>(row.tokens.size());
    for (const MaskSpan& span : row.spans)
      if (entry.place >= span.begin && entry.place < span.begin + span.count)
        entry.sees_to = std::min(end, span.begin + span.count);
    return entry;
  }

  static std::string_view difference(const FakeEntry& got, const FakeEntry& own) {
    if (got.token != own.token || got.place != own.place || got.salt != own.salt)
      return "reads what is not its own";
    return got.position != own.position ? "reads what was computed at another position"
                                        : "reads of a span that was cut";
  }

  /// Writes what a row computes and reads all that it sees.
  template <typename Own, typename Computed>
  void go_through(Group& group, const PlanRow& row, const BlockTable& table, const Own& own,
                  const Computed& computed) {
    const int end = row.start + static_cast<int>(row.tokens.size());
    if (group.spec.kind == KvKind::kCross) {
      const auto& encoded = states_.at(row.sequence).view.submission().encoded;
      expect(encoded && group.inputs.at(static_cast<size_t>(table[0])) == encoded->hash,
             row.sequence, "reads another input");
    } else if (group.spec.kind == KvKind::kState) {
      Fold fold;
      fold.position = 0;
      for (int position = 0; position < row.start; ++position)
        fold = {position + 1, fold.hash + own(position).hash()};
      Fold& state = group.folds.at(static_cast<size_t>(table[0]));
      if (row.start > 0)
        expect(
            state == fold, row.sequence,
            state.position == row.start ? "has another's state" : "has the state of another place");
      for (int position = row.start; position < end; ++position)
        fold = {position + 1, fold.hash + computed(position).hash()};
      state = fold;
    } else {
      const auto at = [&](int position) {
        return table[static_cast<size_t>(position / positions_)];
      };
      for (int position = row.start; position < end; ++position)
        entry(group, at(position), position) = computed(position);
      for (int position = group.first_seen(row.start); position < end; ++position) {
        expect(at(position) >= 0, row.sequence, "sees a block that it gave back");
        if (at(position) < 0) return;
        const FakeEntry& got = entry(group, at(position), position);
        if (got != own(position)) expect(false, row.sequence, difference(got, own(position)));
      }
    }
  }

  /// Chooses the next token, and those behind the drafts that are like it.
  template <typename Own>
  void sample(const PlanRow& row, State& state, uint64_t hash, const Own& own, RowOutput& output) {
    const Submission& submission = state.view.submission();
    output.sampled = true;
    output.token = fake_choice(hash, submission, row.generated);
    state.sampled.push_back(output.token);
    const int known = row.start + static_cast<int>(row.tokens.size()) - row.drafts;
    for (int i = 0; i < row.drafts; ++i) {
      const FakeEntry draft = own(known + i);
      if (draft.token != state.sampled.back()) break;
      hash += draft.hash();
      const Token token = fake_choice(hash, submission, row.generated + i + 1);
      output.verified.push_back({token, 0, {}});
      state.sampled.push_back(token);
    }
    std::tie(output.jump_forward, output.complete) = fake_forced(submission, row.generated);
    state.sampled.insert(state.sampled.end(), output.jump_forward.begin(),
                         output.jump_forward.end());
  }

  static void add_prompt_logprobs(const PlanRow& row, const Submission& submission,
                                  RowOutput& output) {
    if (submission.sampling.prompt_logprobs < 0 || row.generated > 0) return;
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      const size_t next = static_cast<size_t>(row.start) + i + 1;
      if (next >= submission.tokens.size()) return;
      auto& entry = output.prompt_logprobs.emplace_back();
      entry.chosen = {submission.tokens[next], -static_cast<float>(next)};
    }
  }

  int positions_;
  std::vector<Group> groups_;
  std::unordered_map<SequenceId, State> states_;
  std::vector<std::string> faults_;
  uint64_t computed_tokens_ = 0, encoded_ = 0;
  std::vector<RowOutput> last_rows_;
};

}  // namespace pippin::engine::testing
