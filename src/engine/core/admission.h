// Admission: who comes in, with which prefix, and who makes room for it.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <vector>

#include "engine/core/kv_groups.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/sequence_table.h"
#include "engine/core/step_plan.h"

namespace pippin::engine {

class Admission {
 public:
  /// Borrows all of them.
  Admission(const SchedulerOptions& options, KvGroups& kv, SequenceTable& table)
      : options_(options), kv_(kv), table_(table) {}

  /// Preempts sequences of a lower priority while they are in the way of the queue's head.
  void make_room_for_head();
  /// Admits in order, with the copies and encoded inputs that their prefixes need. Who does not fit
  /// holds back those behind, so that a large prompt is not passed by for ever.
  void admit_waiting(StepPlan& plan);

  /// Blocks that copies of the steps under way read.
  const std::vector<BlockLease>& copy_sources() const { return copy_sources_; }
  /// Notes that the copies planned so far are done.
  void copies_done() { copy_sources_.clear(); }

 private:
  bool try_admit(StepPlan& plan, Sequence& sequence);
  bool waits_for_prefix(const Sequence& sequence) const;
  bool reuses_prefix(const Sequence& sequence) const;
  PrefixMatch look_up(Sequence& sequence);
  void note_first_admission(Sequence& sequence, const PrefixMatch& match);

  const SchedulerOptions& options_;
  KvGroups& kv_;
  SequenceTable& table_;
  std::vector<BlockLease> copy_sources_;
};

}  // namespace pippin::engine
