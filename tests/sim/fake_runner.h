// FakeRunner: a device without arithmetic, with a layer that sees everything and, if asked for, one
// with a window. Its "keys and values" are the tokens themselves, kept
// block by block; its "attention" reads them back through the block tables and reports every entry
// that is not the sequence's own. The next token is a hash of what was read, so a block mix-up also
// shows in the answer. fake_answer() is the same model run alone.
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

/// What one position holds. The salt stands for everything besides tokens that keys and values
/// depend on.
struct FakeEntry {
  Token token = -1;
  int position = -1;
  uint32_t salt = 0;
  bool operator==(const FakeEntry&) const = default;
  uint64_t hash() const {
    return mix(mix(static_cast<uint64_t>(token) << 32 | static_cast<uint32_t>(position)) ^ salt);
  }
};

inline uint32_t fake_salt(const Submission& submission) {
  return static_cast<uint32_t>(mix(std::hash<std::string>()(submission.cache_salt)));
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
  std::vector<Token> forced() override { return {}; }
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
  uint64_t hash = 0;
  int position = 0;
  const uint32_t salt = fake_salt(submission);
  for (const Token token : submission.tokens) hash += FakeEntry{token, position++, salt}.hash();
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
      hash += FakeEntry{token, position++, salt}.hash();
    }
    if (complete) break;
  }
  return answer;
}

class FakeRunner final : public Runner {
 public:
  FakeRunner(int blocks, int block_positions, int window = 0, int window_blocks = 0)
      : block_positions_(block_positions),
        window_(window_blocks > 0 ? window : 0),
        all_(blocks, block_positions),
        windowed_(window_blocks, block_positions) {}
  explicit FakeRunner(const SchedulerOptions& options)
      : FakeRunner(options.blocks, options.block_positions, options.window, options.window_blocks) {
  }

  /// Decides which rows fail; none without it.
  std::function<bool(const PlanRow&)> fails;
  /// What went wrong, at most a few; empty when every row read what its sequence wrote.
  const std::vector<std::string>& faults() const { return faults_; }
  uint64_t computed_tokens() const { return computed_tokens_; }
  size_t states() const { return states_.size(); }

  void admit(SequenceId id, const Submission& submission) override {
    expect(states_.try_emplace(id, State{&submission, fake_salt(submission), {}}).second, id,
           "is admitted twice");
  }

  StepOutput run(const StepPlan& plan) override {
    copy(all_, plan.copies);
    copy(windowed_, plan.window_copies);
    check_writers(plan, all_, &PlanRow::blocks);
    check_writers(plan, windowed_, &PlanRow::window_blocks);
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
    const Submission* submission;
    uint32_t salt;
    std::vector<Token> sampled;
  };

  /// The blocks of one kind of layer.
  struct Store {
    Store(int blocks, int positions)
        : block_positions(positions),
          entries(static_cast<size_t>(blocks) * static_cast<size_t>(positions)),
          writer(static_cast<size_t>(blocks), SequenceId{0}) {}

    FakeEntry& at(BlockId block, int offset) {
      return entries.at(static_cast<size_t>(block) * static_cast<size_t>(block_positions) +
                        static_cast<size_t>(offset));
    }
    FakeEntry& at(const std::vector<BlockId>& table, int position) {
      return at(table[static_cast<size_t>(position / block_positions)], position % block_positions);
    }

    int block_positions;
    std::vector<FakeEntry> entries;  // [P, S]
    std::vector<SequenceId> writer;  // of each block in the current step; 0 = none
  };

  void expect(bool holds, SequenceId id, std::string_view what) {
    if (!holds && faults_.size() < 5)
      faults_.push_back(fmt::format("sequence {} {}", id.value, what));
  }

  void copy(Store& store, const std::vector<BlockCopy>& copies) {
    for (const BlockCopy& copy : copies) {
      for (const BlockCopy& other : copies) {
        expect(copy.to != other.from, SequenceId{0}, "copies to where another copy reads");
      }
      for (int i = 0; i < copy.positions; ++i) store.at(copy.to, i) = store.at(copy.from, i);
    }
  }

  /// No block that a row writes is in another row's table.
  void check_writers(const StepPlan& plan, Store& store, std::vector<BlockId> PlanRow::*table) {
    const auto writer_of = [&](BlockId block) -> SequenceId& {
      return store.writer.at(static_cast<size_t>(block));
    };
    for (const PlanRow& row : plan.rows) {
      const auto& blocks = row.*table;
      for (size_t i = static_cast<size_t>(row.start / block_positions_); i < blocks.size(); ++i) {
        expect(blocks[i] >= 0, row.sequence, "writes a block that it does not hold");
        if (blocks[i] < 0) continue;
        SequenceId& writer = writer_of(blocks[i]);
        expect(writer.value == 0, row.sequence, "writes a block that another row writes");
        writer = row.sequence;
      }
    }
    for (const PlanRow& row : plan.rows) {
      for (const BlockId block : row.*table) {
        if (block < 0) continue;
        const SequenceId writer = writer_of(block);
        expect(writer.value == 0 || writer == row.sequence, row.sequence,
               "reads a block that another row writes");
      }
    }
    for (const PlanRow& row : plan.rows) {
      for (const BlockId block : row.*table)
        if (block >= 0) writer_of(block) = SequenceId{0};
    }
  }

  // Puts in the token that a row of the step before gave; none if that row failed.
  PlanRow with_tokens(PlanRow row) const {
    if (row.follows < 0) return row;
    const RowOutput& before = last_rows_.at(static_cast<size_t>(row.follows));
    if (before.sampled)
      row.tokens = {before.token};
    else
      row.tokens.clear();
    return row;
  }

  RowOutput run_row(const PlanRow& row) {
    RowOutput output;
    if (row.follows >= 0 && row.tokens.empty()) return output;  // the scheduler drops it
    const auto found = states_.find(row.sequence);
    if (found == states_.end()) {
      expect(false, row.sequence, "has a row before it was admitted");
      return output;
    }
    State& state = found->second;
    const Submission& submission = *state.submission;
    const int prompt = static_cast<int>(submission.tokens.size());
    const int length = prompt + static_cast<int>(state.sampled.size());
    const int end = row.start + static_cast<int>(row.tokens.size());
    const auto own = [&](int position) {
      const Token token = position < prompt ? submission.tokens[static_cast<size_t>(position)]
                                            : state.sampled[static_cast<size_t>(position - prompt)];
      return FakeEntry{token, position, state.salt};
    };
    const int blocks = (end + block_positions_ - 1) / block_positions_;
    expect(!row.tokens.empty() && end <= length, row.sequence, "computes tokens it does not have");
    expect(static_cast<int>(row.blocks.size()) == blocks, row.sequence,
           "has a table of wrong size");
    expect(row.generated == static_cast<int>(state.sampled.size()), row.sequence, "miscounts");
    expect(row.sample == (end == length), row.sequence, "samples at the wrong place");
    expect(static_cast<int>(row.window_blocks.size()) == (window_ > 0 ? blocks : 0), row.sequence,
           "has a window table of wrong size");
    if (end > length || !faults_.empty()) return output;
    if (fails && fails(row)) {
      output.error = fail(Code::kInternal, "[fake_runner] a row that fails");
      return output;
    }
    computed_tokens_ += row.tokens.size();
    for (int position = row.start; position < end; ++position) {
      const Token token = row.tokens[static_cast<size_t>(position - row.start)];
      const FakeEntry written{token, position, state.salt};
      all_.at(row.blocks, position) = written;
      if (window_ > 0) windowed_.at(row.window_blocks, position) = written;
    }
    uint64_t hash = 0;
    for (int position = 0; position < end; ++position) {
      const FakeEntry& read = all_.at(row.blocks, position);
      expect(read == own(position), row.sequence, "reads what is not its own");
      hash += read.hash();
    }
    if (window_ > 0) read_window(row, end, own);
    add_prompt_logprobs(row, submission, output);
    if (row.sample) {
      output.sampled = true;
      output.token = fake_choice(hash, submission, row.generated);
      state.sampled.push_back(output.token);
      std::tie(output.forced, output.complete) = fake_forced(submission, row.generated);
      state.sampled.insert(state.sampled.end(), output.forced.begin(), output.forced.end());
    }
    return output;
  }

  /// Reads all that the row's tokens see through a window.
  template <typename Own>
  void read_window(const PlanRow& row, int end, const Own& own) {
    for (int position = std::max(0, row.start - window_ + 1); position < end; ++position) {
      const BlockId block = row.window_blocks[static_cast<size_t>(position / block_positions_)];
      expect(block >= 0, row.sequence, "sees a block that it gave back");
      if (block < 0) return;
      expect(windowed_.at(block, position % block_positions_) == own(position), row.sequence,
             "sees what is not its own");
    }
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

  int block_positions_;
  int window_;
  Store all_, windowed_;
  std::unordered_map<SequenceId, State> states_;
  std::vector<std::string> faults_;
  uint64_t computed_tokens_ = 0;
  std::vector<RowOutput> last_rows_;
};

}  // namespace pippin::engine::testing
