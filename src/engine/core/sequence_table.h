// SequenceTable: the live sequences of a scheduler: who waits, who is active, whose reader is
// behind, when which of them ends, and what their readers are told. It decides nothing.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/core/kv_groups.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/types.h"

namespace pippin::engine {

class SequenceTable {
 public:
  using Waiting = std::set<Sequence*, ComesFirst>;

  /// Borrows the groups. `rows_max` bounds the active sequences.
  SequenceTable(const SchedulerOptions& options, KvGroups& kv);
  ~SequenceTable();

  // Who is there.

  /// Adds a sequence, which waits from now on.
  /// Requires: an id that was never used.
  Sequence& add(SequenceId id, Submission submission);
  /// Returns null where the sequence has ended.
  Sequence* find(SequenceId id) const;
  /// Returns the submission of a live sequence or of one whose release the runner has not seen yet.
  const Submission& submission(SequenceId id) const;
  const Waiting& waiting() const { return waiting_; }
  const std::vector<Sequence*>& active() const { return active_; }  // sorted by ComesFirst
  const std::vector<Sequence*>& paused() const { return paused_; }
  bool has_room() const { return static_cast<int>(active_.size()) < options_.rows_max; }
  /// Says whether no sequence holds blocks.
  bool idle() const { return active_.empty() && paused_.empty() && ended_blocks_.empty(); }

  // A sequence's life.

  /// Gives a sequence rows from now on.
  /// Requires: its tables.
  void activate(Sequence& sequence);
  /// Sends a sequence back to the queue without blocks. Its tokens stay: what was generated is
  /// computed again as if it were prompt.
  /// Requires: no row of it is planned.
  void preempt(Sequence& sequence);
  /// Returns the sequence to preempt first: of the lowest priority, one that is paused if there is
  /// one, and then the youngest; null without any.
  Sequence* last_in_turn() const;
  /// Ends a sequence and tells its reader. Blocks that a step writes to are kept until it is done.
  void finish(Sequence& sequence, FinishReason reason, Error error = {});
  /// Counts the turns of sequences that have steps for themselves.
  uint64_t next_turn() { return ++turns_; }

  // Readers and time.

  /// Stops giving rows to a sequence until reader_caught_up(); it ends after slow_reader_max.
  void reader_falls_behind(Sequence& sequence, TimePoint now);
  void reader_caught_up(Sequence& sequence);
  /// Activates paused sequences whose readers caught up, as far as there is room.
  void rejoin_readers();
  /// Ends the sequences whose time is over.
  void expire(TimePoint now);
  /// Returns when expire() will have something to do.
  std::optional<TimePoint> next_timer() const;

  // What is told.

  void tell(const Sequence& sequence, Event event) {
    events_.push_back({sequence.id, std::move(event)});
  }
  std::vector<SequenceEvent> take_events() { return std::exchange(events_, {}); }
  /// Returns the sequences that ended since the last call and that the runner knows.
  std::vector<SequenceId> take_released() { return std::exchange(released_, {}); }
  /// Notes that a step is done: the runner has dropped its first `released` sequences, and, where
  /// no other step runs, nothing is written to the blocks of those that ended.
  void step_done(size_t released, bool another_runs);

  /// Counters since start, kept by whoever counts.
  SchedulerStatus& counters() { return counters_; }
  const SchedulerStatus& counters() const { return counters_; }
  /// Returns the counters, with how many there are of each phase.
  SchedulerStatus status() const;
  std::vector<SequenceStatus> sequences() const;

  /// Adds up who holds blocks; `held` are leases of others.
  /// Errors: kInternal, if groups and sequences disagree.
  Result<void> check_integrity(const std::vector<BlockLease>& held) const;

 private:
  using Timer = std::tuple<TimePoint, SequenceId, FinishReason>;

  void leave_list(Sequence& sequence);

  const SchedulerOptions& options_;
  KvGroups& kv_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  Waiting waiting_;
  std::vector<Sequence*> active_, paused_;
  std::set<Timer> timers_;
  uint64_t arrivals_ = 0, turns_ = 0;
  std::vector<BlockLease> ended_blocks_;  // of sequences that ended while a step writes to them
  std::vector<SequenceId> released_;      // for the next plan
  // In the order of release; the runner may still look at their submissions.
  std::vector<std::unique_ptr<Sequence>> ended_;
  std::vector<SequenceEvent> events_;
  SchedulerStatus counters_;
};

}  // namespace pippin::engine
