#include "engine/core/scheduler_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/attention_group.h"
#include "engine/core/state_group.h"

namespace pippin::engine {
namespace {

int blocks_min(const KvGroupPlan& group, const SchedulerOptions& options) {
  if (group.kind == KvKind::kState) return StateGroup::kBlocksMin;
  if (group.kind == KvKind::kCross) return 1;
  return Sight{group.kind, group.window, options.kv.block_positions}.blocks_min(
      options.step_tokens_max);
}

}  // namespace

Result<void> SchedulerOptions::check() const {
  for (const int limit :
       {context_tokens_max, kv.block_positions, rows_max, queue_max, step_tokens_max}) {
    if (limit <= 0)
      return fail(Code::kInvalidArgument, "[engine] expected every limit to be at least 1");
  }
  for (const KvGroupPlan& group : kv.groups) {
    const bool windowed = group.kind == KvKind::kSliding || group.kind == KvKind::kChunked;
    if ((windowed && group.window <= 0) || group.blocks < blocks_min(group, *this) ||
        group.checkpoint_positions % kv.block_positions != 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("[engine] expected at least {} blocks in the {} KV group, got {}",
                              blocks_min(group, *this), kv_kind_name(group.kind), group.blocks));
    }
  }
  return {};
}

int64_t SchedulerOptions::positions_max() const {
  const int64_t held = kv.positions_max();
  return held < 0 ? context_tokens_max : std::min<int64_t>(context_tokens_max, held);
}

}  // namespace pippin::engine
