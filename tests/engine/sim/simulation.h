// Simulation: a world of random clients around one scheduler, all drawn from a seed: limits,
// prompts that share prefixes, priorities, deadlines, cancels, slow readers, failing rows. Every
// step is async_steps by the checks of what must always hold.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/core/scheduler.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {

/// A fault put in on purpose, to see that the checks find it.
enum class Plant : uint8_t {
  kNone,
  kLeakedBlock,       // a lease that no sequence holds
  kWrongBlock,        // a row reads another sequence's block
  kLostEvent,         // a token does not reach its reader
  kLostEnd,           // an end does not
  kStarvedRow,        // a sequence gets no row any more
  kEarlyReturn,       // a block of a window is given back that a row still sees
  kEarlyChunkReturn,  // likewise of a chunk
  kLeakedState,       // a state that no sequence holds
  kLostCopy,          // the copy of a partly filled block is left out
  kLostStateCopy,     // the copy of a state is
  kLongMatch,         // a group of blocks matches longer than what it has
  kLongStateMatch,    // a group of states does
  kWrongCheckpoint,   // a checkpoint is kept for the position behind its own
  kSkippedRollback,   // rejected drafts stay in a state
  kWrongInput,        // a row reads another's encoded input
  kLeakedInput,       // an encoded input that no sequence holds
  kLostPosition,      // a row's positions are left out
  kLostSpan,          // a row's spans are
  kCutSpan,           // a span that sees both ways is cut by chunks
};

class Simulation {
 public:
  Simulation(uint64_t seed, int requests, Plant plant = Plant::kNone);

  /// Runs until every request has ended.
  /// Returns: the first thing that must not happen, or nothing.
  std::string run();

  /// Records the run.
  /// Requires: before run().
  void set_recorder(Recorder* recorder) { scheduler_.set_recorder(recorder); }
  /// Has answers compared with a cold deterministic run where they went through a prefix hit, a
  /// preemption or a rollback. Requires: before run().
  void compare_with_cold_runs() {
    compares_ = true;
    drafts_ = 0.5;
  }
  const SchedulerOptions& options() const { return options_; }
  /// Says whether this world has the KV groups that its plant needs.
  bool can_plant() const;

  /// What happened, to see that the world is not a quiet one.
  struct Tally {
    uint64_t steps = 0, tokens = 0, preemptions = 0, cached_tokens = 0, copies = 0, refused = 0,
             pauses = 0, resized = 0, async_steps = 0, state_copies = 0, cut_tables = 0,
             drafted = 0, accepted = 0, encoded = 0, embeddings = 0, media = 0, grids = 0,
             spans = 0;
    /// Answers that a cold deterministic run has given, too: of those with a prefix hit, preempted,
    /// with drafts rolled back.
    uint64_t cold_hits = 0, cold_preemptions = 0, cold_rollbacks = 0;
    std::map<std::string, uint64_t> answers;  // by the kinds of KV groups: "full+state"
    std::map<FinishReason, uint64_t> ends;
    uint64_t plans_hash = 0;
  };
  const Tally& tally() const { return tally_; }
  /// Whether the fault has been put in.
  bool planted() const { return planted_; }

 private:
  /// A client with its request and its end of the event queue.
  struct Client {
    SequenceId id;
    Submission submission;
    std::vector<Token> expected;  // what the model answers
    bool embedded = false;        // its embedding came
    int tokens_max = 0;
    double reads = 1;  // the chance that it reads in a step
    int cancels_at_step = -1;
    FinishReason cancels_with = FinishReason::kCancelled;
    bool cancelled = false;
    bool failed = false;  // a row of it did
    bool preempted = false;
    bool rolled_back = false;  // drafts of it were rejected
    bool cut = false;          // a span of it was, as the planted fault
    bool was_full = false;     // its queue was, since it last read
    bool ever_full = false;
    std::deque<Event> queue;
    std::vector<Token> read;
    bool ended = false;
  };

  // simulation_world.cpp: what is drawn.
  static SchedulerOptions random_options(uint64_t seed, std::mt19937_64& random);
  int between(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }
  bool chance(double p) { return std::uniform_real_distribution()(random_) < p; }
  static void add_groups(SchedulerOptions& options, uint64_t seed, std::mt19937_64& random);
  Submission random_submission();
  void add_media(Submission& submission);
  void add_positions(Submission& submission);
  std::vector<Token> random_prompt();

  int least_tokens(const Submission& submission, int computed) const;
  bool is_exclusive(const Client& client, int computed) const;

  void broken(std::string what);
  void arrive();
  bool arrive_one();
  void act();  // clients read, cancel
  struct Step {
    StepPlan plan;
    StepOutput output;
  };
  void step();
  void resize();
  void run(Step& step);
  // simulation_plants.cpp: faults.
  void sabotage();
  void plant(StepPlan& plan);
  bool plant_copy(StepPlan& plan, bool state);
  bool plant_lost_inputs(StepPlan& plan);
  void forget_spans(SequenceId id);
  void see_cut_spans(const StepPlan& plan);
  void starve();
  bool swallows(const Event& event);

  void check_plan(const StepPlan& plan);
  void check_after(TimePoint planned_at);
  void deliver(SequenceEvent& event);
  void read_all(Client& client);
  void check_prompt_logprobs(const Client& client, const PromptLogprobsEvent& event);
  void check_end(Client& client, const FinishEvent& finish);
  void note_rollbacks(const Step& step);
  void compare_cold(const Client& client, const FinishEvent& finish);
  std::string mix_name() const;

  std::mt19937_64 random_;
  const SchedulerOptions options_;
  int requests_left_;
  int steps_max_;
  double arrivals_;  // the chance of a burst in a step
  double row_failures_;
  double async_;                // the chance that the next step is planned before a commit
  double exclusive_;            // the chance that a request shares no step
  double drafts_;               // the chance that an answer is guessed ahead
  double media_;                // the chance that a prompt holds media
  double grids_;                // the chance that a prompt states positions
  double constrained_;          // the chance that a grammar holds an answer
  double resizes_;              // the chance that a KV group gets another number of blocks
  double turns_deterministic_;  // the chance that steps are so from now on
  bool deterministic_;
  bool last_was_exclusive_ = false;  // the step before was
  int events_max_;
  ManualClock clock_;
  Scheduler scheduler_;
  FakeRunner runner_;
  uint64_t ids_ = 0;
  std::map<SequenceId, std::unique_ptr<Client>> clients_;
  std::vector<std::vector<Token>> histories_;    // what later prompts begin with
  std::map<SequenceId, int> steps_without_row_;  // of those that are active
  std::map<SequenceId, int> active_before_;      // after the last step, with their preemptions
  std::deque<Step> under_way_;
  TimePoint planned_at_{};
  const Plant plant_;
  bool planted_ = false;
  bool compares_ = false;
  std::optional<BlockLease> leak_;
  std::string broken_;
  Tally tally_;
};

}  // namespace pippin::engine::testing
