#include "service/chat/live_requests.h"

#include <utility>

namespace pippin::service {

struct LiveRequests::Listed {
  Entry entry;  // without the generation
  std::weak_ptr<Generation> generation;
};

struct LiveRequests::State {
  mutable std::mutex mutex;
  std::list<Listed> requests;
};

LiveRequests::LiveRequests() : state_(std::make_shared<State>()) {}

LiveRequests::Listing& LiveRequests::Listing::operator=(Listing&& other) noexcept {
  std::swap(state_, other.state_);
  std::swap(place_, other.place_);
  return *this;
}

LiveRequests::Listing::~Listing() {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  state_->requests.erase(place_);
}

LiveRequests::Listing LiveRequests::add(std::string id, std::string answer_id,
                                        std::weak_ptr<Generation> generation) {
  Listed listed;
  listed.entry.id = std::move(id);
  listed.entry.answer_id = std::move(answer_id);
  listed.entry.began = SystemClock().now();
  listed.generation = std::move(generation);
  Listing listing;
  listing.state_ = state_;
  const std::lock_guard lock(state_->mutex);
  listing.place_ = state_->requests.insert(state_->requests.end(), std::move(listed));
  return listing;
}

bool may_see(const RequestContext* caller, const Generation& generation) {
  const RequestContext* owner = generation.caller();
  const std::string_view key = owner == nullptr ? std::string_view() : owner->key_id();
  constexpr Rule kReaches{Action::kUse, Object::kSupervised};
  return authorise(caller, kReaches, key) == Verdict::kGranted;
}

std::vector<engine::SequenceId> LiveRequests::sequences_of(const RequestContext* caller) const {
  std::vector<engine::SequenceId> visible;
  for (const Entry& entry : list()) {
    if (!may_see(caller, *entry.generation)) continue;
    const std::vector<engine::SequenceId>& own = entry.generation->sequences();
    visible.insert(visible.end(), own.begin(), own.end());
  }
  return visible;
}

int LiveRequests::cancel(std::string_view id, const RequestContext* caller) {
  // Ended outside the lock: the last handle of a generation may go here, and takes its time.
  std::vector<std::shared_ptr<Generation>> found;
  if (id.empty()) return 0;
  {
    const std::lock_guard lock(state_->mutex);
    for (Listed& listed : state_->requests) {
      Entry& entry = listed.entry;
      if (entry.cancelled || (entry.id != id && entry.answer_id != id)) continue;
      std::shared_ptr<Generation> generation = listed.generation.lock();
      if (generation == nullptr || !may_see(caller, *generation)) continue;
      entry.cancelled = true;
      found.push_back(std::move(generation));
    }
  }
  for (const std::shared_ptr<Generation>& generation : found) generation->cancel();
  return static_cast<int>(found.size());
}

std::vector<LiveRequests::Entry> LiveRequests::list() const {
  std::vector<Entry> all;
  const std::lock_guard lock(state_->mutex);
  all.reserve(state_->requests.size());
  for (const Listed& listed : state_->requests) {
    std::shared_ptr<Generation> generation = listed.generation.lock();
    if (generation == nullptr) continue;
    Entry& entry = all.emplace_back(listed.entry);
    entry.generation = std::move(generation);
  }
  return all;
}

}  // namespace pippin::service
