#include "service/pool_entry.h"

#include <algorithm>

namespace pippin::service {

void PoolEntry::take(std::unique_ptr<Model> loaded, TimePoint now) {
  model = std::move(loaded);
  model->created_unix_s = created_unix_s;
  sheet = std::make_shared<const ModelSheet>(*model);
  bytes = model->plan.bytes_total();
  state = ModelState::kLoaded;
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
  if (sheet != nullptr) {
    status.sheet = *sheet;
  } else {
    status.sheet.id = spec.load.id;
    status.sheet.aliases = spec.load.aliases;
    status.sheet.facts.path = spec.load.path;
    status.sheet.created_unix_s = created_unix_s;
  }
  status.state = state;
  status.pinned = spec.pinned;
  status.found = found;
  status.on_gpu = spec.load.device != engine::DeviceKind::kCpu;
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
