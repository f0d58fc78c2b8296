#include "engine/core/kv_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/core/attention_group.h"
#include "engine/core/cross_group.h"
#include "engine/core/positions.h"
#include "engine/core/state_group.h"

namespace pippin::engine {
namespace {

constexpr int kCopyPositionsMin = 4;

KvLimits limits_of(const SchedulerOptions& options) {
  KvLimits limits;
  limits.block_positions = options.kv.block_positions;
  limits.step_tokens_max = options.step_tokens_max;
  limits.prefix_cache = options.prefix_cache;
  // A state is of one position: the other groups have to match exactly there.
  limits.copy_positions_min = options.kv.group(KvKind::kState) != nullptr ? 1 : kCopyPositionsMin;
  return limits;
}

std::unique_ptr<KvGroup> make_group(const KvGroupPlan& plan, const KvLimits& limits, int index) {
  switch (plan.kind) {
    case KvKind::kState:
      return std::make_unique<StateGroup>(plan, limits, index);
    case KvKind::kCross:
      return std::make_unique<CrossGroup>(plan, limits, index);
    default:
      return std::make_unique<AttentionGroup>(plan, limits, index);
  }
}

}  // namespace

Result<void> KvGroup::broken(const Sequence& sequence, std::string what) const {
  return fail(Code::kInternal,
              fmt::format("[kv] the {} table of sequence {} with {} positions {}",
                          kv_kind_name(plan_.kind), sequence.id.value, sequence.computed, what));
}

bool PrefixMatch::copies() const {
  return std::any_of(groups.begin(), groups.end(),
                     [](const GroupMatch& group) { return group.source.id() >= 0; });
}

KvGroups::KvGroups(const SchedulerOptions& options) : limits_(limits_of(options)) {
  for (const KvGroupPlan& plan : options.kv.groups) {
    groups_.push_back(make_group(plan, limits_, static_cast<int>(groups_.size())));
    whole_rows_ |= groups_.back()->rolls_back_whole_rows();
  }
}

KvGroups::~KvGroups() = default;

BlockHash KvGroups::root_of(const Submission& submission) {
  std::string salt = submission.cache_salt;
  if (submission.encoded) salt += '\0' + submission.encoded->hash;
  const BlockHash root = hasher_.root(salt);
  if (std::find(roots_.begin(), roots_.end(), root) == roots_.end()) {
    roots_.push_front(root);
    if (roots_.size() > kRootsMax) roots_.pop_back();
  }
  return root;
}

void KvGroups::extend_hashes(Sequence& sequence) {
  if (sequence.hashes.empty()) sequence.hashes.push_back(root_of(sequence.submission));
  if (!sequence.marked.empty()) {
    for (int place = static_cast<int>(sequence.marked.size()); place < sequence.length(); ++place)
      sequence.marked.push_back(
          jumps(sequence, place) ? -1 : sequence.tokens[static_cast<size_t>(place)]);
  }
  const auto positions = static_cast<size_t>(limits_.block_positions);
  const std::span<const Token> tokens = sequence.identity();
  while (sequence.hashes.size() <= tokens.size() / positions) {
    const size_t begin = (sequence.hashes.size() - 1) * positions;
    std::string salt =
        jumps_salt(sequence, static_cast<int>(begin), static_cast<int>(begin + positions));
    for (const MediaSpan& media : sequence.submission.media) {
      const auto first = static_cast<size_t>(media.begin);
      if (first >= begin + positions || first + static_cast<size_t>(media.count) <= begin) continue;
      salt += fmt::format("{}:{};", media.hash,
                          static_cast<int64_t>(begin) - static_cast<int64_t>(first));
    }
    sequence.hashes.push_back(
        hasher_.child(sequence.hashes.back(), tokens.subspan(begin, positions), salt));
  }
}

PrefixMatch KvGroups::no_match() const {
  PrefixMatch match;
  match.groups.resize(groups_.size());
  return match;
}

PrefixMatch KvGroups::match(Sequence& sequence, int at_most) {
  PrefixMatch match = no_match();
  if (groups_.empty()) return match;
  extend_hashes(sequence);
  const PromptKey prompt{sequence.hashes, sequence.identity()};
  int positions = std::min(at_most, sequence.length() - 1);
  // Each group shortens the prefix; what shortened it may have to be shortened for another.
  for (size_t agreed = 0; agreed < groups_.size() && positions > 0;) {
    for (size_t i = 0; i < groups_.size() && agreed < groups_.size(); ++i) {
      const int longest = groups_[i]->longest(prompt, positions);
      agreed = longest == positions ? agreed + 1 : 1;
      positions = longest;
    }
  }
  for (size_t i = 0; i < groups_.size(); ++i) groups_[i]->lease(prompt, positions, match.groups[i]);
  match.tokens = positions;
  explain(prompt, match);
  return match;
}

/// Tells why a match ends where it does: as the group that knows least does.
void KvGroups::explain(const PromptKey& prompt, PrefixMatch& match) {
  const KnownPrefix first = groups_.front()->known(prompt);
  match.first_difference = first.positions;
  match.miss = first.miss;
  if (match.miss == PrefixMiss::kNew && known_to_another_root(prompt))
    match.miss = PrefixMiss::kOtherSalt;
  for (size_t i = 1; i < groups_.size(); ++i) {
    const KnownPrefix known = groups_[i]->known(prompt);
    if (known.positions >= match.first_difference) continue;
    match.first_difference = known.positions;
    // All groups have computed it; this one has evicted it, or kept no state there.
    match.miss =
        groups_[i]->plan().kind == KvKind::kState ? PrefixMiss::kNoState : PrefixMiss::kEvicted;
  }
}

bool KvGroups::known_to_another_root(const PromptKey& prompt) {
  const auto positions = static_cast<size_t>(limits_.block_positions);
  if (prompt.tokens.size() < positions) return false;
  return std::any_of(roots_.begin(), roots_.end(), [&](const BlockHash& root) {
    return root != prompt.hashes.front() &&
           groups_.front()->contains(hasher_.child(root, prompt.tokens.first(positions)));
  });
}

bool KvGroups::contains(const BlockHash& hash) const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [&](const auto& group) { return group->contains(hash); });
}

bool KvGroups::fits(const Sequence& sequence, const PrefixMatch& match,
                    std::span<Sequence* const> active) const {
  for (size_t i = 0; i < groups_.size(); ++i)
    if (!groups_[i]->fits(sequence, match.groups[i], match.tokens, active)) return false;
  return true;
}

void KvGroups::admit(Sequence& sequence, PrefixMatch& match, StepPlan& plan,
                     std::vector<BlockLease>& held) {
  sequence.kv.clear();
  sequence.kv.resize(groups_.size());
  sequence.computed = match.tokens;
  sequence.recorded = match.tokens / limits_.block_positions * limits_.block_positions;
  for (size_t i = 0; i < groups_.size(); ++i)
    groups_[i]->admit(sequence, match.groups[i], match.tokens, plan, held);
}

bool KvGroups::cover(Sequence& sequence, int end) {
  for (const auto& group : groups_)
    if (!group->cover(sequence, end)) return false;
  return true;
}

void KvGroups::must_cover(Sequence& sequence, int end) {
  const bool covered = cover(sequence, end);
  CHECK(covered, "the pools were asked before");
}

bool KvGroups::can_cover(std::span<const std::pair<const Sequence*, int>> ends) const {
  for (const auto& group : groups_) {
    int missing = 0;
    for (const auto& [sequence, end] : ends) missing += group->missing(*sequence, end);
    if (missing > group->pool().available()) return false;
  }
  return true;
}

int KvGroups::chunk_end(const Sequence& sequence, int end) const {
  for (const auto& group : groups_) end = group->chunk_end(sequence, end);
  return end;
}

int KvGroups::reach(const Sequence& sequence) const {
  int reach = std::numeric_limits<int>::max();
  for (const auto& group : groups_) reach = std::min(reach, group->reach(sequence));
  return reach;
}

bool KvGroups::prepare_drafts(Sequence& sequence) {
  return std::all_of(groups_.begin(), groups_.end(),
                     [&](const auto& group) { return group->prepare_drafts(sequence); });
}

void KvGroups::plan_row(Sequence& sequence, int start, int end, PlanRow& row, StepPlan& plan) {
  // States are kept by the hashes of all tokens up to `start`, the newest included.
  if (whole_rows_ && limits_.prefix_cache) extend_hashes(sequence);
  row.kv.resize(groups_.size());
  for (size_t i = 0; i < groups_.size(); ++i)
    groups_[i]->plan_row(sequence, start, end, row.kv[i], plan);
}

int KvGroups::commit(Sequence& sequence, int row_tokens, int accepted) {
  const bool all_true = accepted == row_tokens;
  const int counted = all_true || !whole_rows_ ? accepted : 0;
  sequence.computed += counted;
  if (limits_.prefix_cache && !groups_.empty()) record(sequence);
  for (const auto& group : groups_) group->commit(sequence, all_true);
  return counted;
}

/// Tells the prefix caches of newly computed positions.
void KvGroups::record(Sequence& sequence) {
  extend_hashes(sequence);
  const int positions = limits_.block_positions;
  const std::span<const Token> tokens = sequence.identity();
  while (sequence.recorded < sequence.computed) {
    const int block = sequence.recorded / positions;
    const int block_end = (block + 1) * positions;
    const int end = std::min(block_end, sequence.computed);
    const auto written = tokens.subspan(static_cast<size_t>(sequence.recorded),
                                        static_cast<size_t>(end - sequence.recorded));
    const BlockHash* hash =
        end == block_end ? &sequence.hashes[static_cast<size_t>(block) + 1] : nullptr;
    for (const auto& group : groups_) group->record(sequence, block, written, hash);
    sequence.recorded = end;
  }
}

void KvGroups::release(Sequence& sequence, Leaving how, std::vector<BlockLease>* held) {
  for (size_t i = 0; i < sequence.kv.size(); ++i) {
    groups_[i]->leave(sequence, how);
    KvTable& table = sequence.kv[i];
    if (held != nullptr) {
      for (BlockLease& lease : table.blocks)
        if (lease.id() >= 0) held->push_back(std::move(lease));
      for (BlockLease* lease : {&table.spare, &table.checkpoint})
        if (lease->id() >= 0) held->push_back(std::move(*lease));
    }
    table.clear();
  }
  sequence.kv.clear();
}

void KvGroups::resize(std::span<const int> blocks) {
  CHECK(blocks.size() == groups_.size());
  for (size_t i = 0; i < groups_.size(); ++i) groups_[i]->pool().resize(blocks[i]);
}

std::vector<KvGroupStatus> KvGroups::status() const {
  std::vector<KvGroupStatus> status;
  status.reserve(groups_.size());
  for (const auto& group : groups_) status.push_back({group->plan().kind, group->pool().counts()});
  return status;
}

Result<void> KvGroups::check_integrity(std::span<const Sequence* const> holders,
                                       std::span<const Sequence* const> others,
                                       std::span<const BlockLease* const> held) const {
  for (const Sequence* sequence : others) {
    if (!sequence->kv.empty()) {
      return fail(Code::kInternal,
                  fmt::format("[kv] sequence {} waits and holds blocks", sequence->id.value));
    }
  }
  for (size_t i = 0; i < groups_.size(); ++i) {
    const KvGroup& group = *groups_[i];
    RETURN_IF_ERROR(group.check_integrity());
    std::vector<int> references(static_cast<size_t>(group.pool().total()), 0);
    const auto count = [&](const BlockLease& lease) {
      if (lease.pool() == &group.pool()) ++references[static_cast<size_t>(lease.id())];
    };
    for (const Sequence* sequence : holders) {
      RETURN_IF_ERROR(group.check_table(*sequence));
      sequence->kv[i].each(count);
    }
    for (const BlockLease* lease : held) count(*lease);
    for (BlockId id = 0; id < group.pool().total(); ++id) {
      const int counted = references[static_cast<size_t>(id)];
      if (counted == group.pool().references(id)) continue;
      return fail(Code::kInternal, fmt::format("[kv] {} block {} has {} leases, sequences hold {}",
                                               kv_kind_name(group.plan().kind), id,
                                               group.pool().references(id), counted));
    }
  }
  return {};
}

}  // namespace pippin::engine
