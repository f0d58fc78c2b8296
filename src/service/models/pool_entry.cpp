#include "service/models/pool_entry.h"

#include <algorithm>
#include <limits>

namespace pippin::service {

const char* word_of(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded:
      return "unloaded";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kUnloading:
      return "unloading";
    case ModelState::kFailed:
      return "failed";
  }
  return "unloaded";
}

Result<MemoryPlan> plan_within(const MemorySizing& sizing, uint64_t bytes_max) {
  MemoryOptions options = sizing.options;
  options.memory_bytes_max = std::max<uint64_t>(bytes_max, 1);  // 0 would mean the default
  return plan_memory(sizing.needs, options, sizing.machine);
}

Result<MemoryPlan> least_plan(const MemorySizing& sizing, int context_tokens) {
  MemoryOptions options = sizing.options;
  options.memory_bytes_max = std::numeric_limits<uint64_t>::max();
  options.context_tokens = context_tokens;
  options.least = true;
  return plan_memory(sizing.needs, options, sizing.machine);
}

std::optional<MemoryPlan> fit(const MemorySizing& sizing, uint64_t room, int context_tokens) {
  Result<MemoryPlan> plan = plan_within(sizing, room);
  if (!plan.ok() || plan->context_tokens_max < context_tokens) return std::nullopt;
  return *std::move(plan);
}

std::optional<MemoryPlan> PoolEntry::smaller(uint64_t bytes_min) const {
  const int context = model->plan.context_tokens_max;
  const Result<MemoryPlan> least = least_plan(sized, context);
  if (!least.ok()) return std::nullopt;
  std::optional<MemoryPlan> plan = fit(sized, std::max(bytes_min, least->bytes_total()), context);
  if (!plan || plan->bytes_total() >= bytes) return std::nullopt;
  if (plan->kv.groups.size() != model->plan.kv.groups.size()) return std::nullopt;
  return plan;
}

void PoolEntry::take(std::unique_ptr<Model> loaded, TimePoint now) {
  model = std::move(loaded);
  model->created_unix_s = created_unix_s;
  info = std::make_shared<const ModelInfo>(*model);
  bytes = model->plan.bytes_total();
  state = ModelState::kLoaded;
  fixed = sized.options.kv_bytes > 0;
  used_at = now;
  keep_alive = spec.keep_alive;
  error.clear();
  ++loads;
}

bool PoolEntry::may_evict() const {
  return std::ranges::any_of(
      waiting, [](const std::shared_ptr<PoolWaiting>& one) { return one->waiter.may_evict; });
}

ModelStatus PoolEntry::status(TimePoint now, std::string unreadable) const {
  ModelStatus status;
  if (info != nullptr) {
    status.info = *info;
  } else {
    status.info.id = spec.load.id;
    status.info.aliases = spec.load.aliases;
    status.info.facts.path = spec.load.path;
    status.info.created_unix_s = created_unix_s;
  }
  status.state = state;
  status.pinned = spec.pinned;
  status.found = found;
  status.on_gpu = engine::device_traits(spec.load.device).has_own_memory;
  status.keep_alive = keep_alive;
  if (state == ModelState::kLoaded && keep_alive && !spec.pinned) {
    const TimePoint since = uses > 0 ? now : used_at;
    status.expires_in = std::max(Duration::zero(), since + *keep_alive - now);
  }
  status.memory_bytes = bytes;
  status.requests = uses;
  status.waiting = static_cast<int>(waiting.size());
  status.loads = loads;
  status.loaded_part = state == ModelState::kLoading ? part : model != nullptr ? 1 : 0;
  status.unreadable = !unreadable.empty();
  status.error = error.empty() ? std::move(unreadable) : error;
  return status;
}

}  // namespace pippin::service
