// CrossGroup: keys and values of encoded inputs, of fixed length, one block each, named by the hash
// of what was encoded. Sequences with the same input share it; what nobody uses stays cached.
// Owner: KvGroups. Thread: the device thread.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/kv_group.h"

namespace pippin::engine {

class CrossGroup : public KvGroup {
 public:
  CrossGroup(const KvGroupPlan& plan, const KvLimits& limits, int index);

  // What was encoded is part of the hashes' salt, so that it limits no prefix.
  int longest(const PromptKey& /*prompt*/, int at_most) const override { return at_most; }
  KnownPrefix known(const PromptKey& prompt) const override {
    return {static_cast<int>(prompt.tokens.size()), PrefixMiss::kNone};
  }
  void lease(const PromptKey& /*prompt*/, int /*positions*/, GroupMatch& /*match*/) override {}
  bool fits(const Sequence& sequence, const GroupMatch& match, int positions,
            std::span<Sequence* const> active) const override;
  void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
             std::vector<BlockLease>& held) override;
  void plan_row(Sequence& sequence, int start, int end, BlockTable& ids, StepPlan& plan) override;
  void commit(Sequence& /*sequence*/, bool /*all_true*/) override {}
  void leave(Sequence& sequence, Leaving how) override;
  Result<void> check_integrity() const override;
  Result<void> check_table(const Sequence& sequence) const override;

 private:
  void forget(BlockId block);

  std::unordered_map<std::string, BlockId> inputs_;  // by hash
  std::vector<std::string> hashes_;                  // of each block; empty = none
};

}  // namespace pippin::engine
