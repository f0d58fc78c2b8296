#include "service/access/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "base/guarded.h"

namespace pippin::service {
namespace {

constexpr auto kSavedEvery = std::chrono::seconds(1);

}  // namespace

Authenticator::Authenticator(std::string path, KeyQuota::Now now)
    : now_(now), store_(std::move(path)) {
  saver_ = Thread("[keys]", [this] { save_often(); });
}

Authenticator::~Authenticator() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  saver_.join();
  save();
}

Result<void> Authenticator::refresh_locked() {
  ASSIGN_OR_RETURN(const int64_t version, store_.version());
  if (version == version_) return {};
  ASSIGN_OR_RETURN(std::vector<Key> keys, store_.list(now_()));
  // Keys are revoked and never removed: a file without them is not the one that was read before.
  if (keys.empty() && !keys_.empty())
    return fail(Code::kUnavailable, "The file of keys has lost its keys.", "keys");
  adopt_locked(std::move(keys));
  version_ = version;  // only now: what failed above is tried again with the next request
  return {};
}

void Authenticator::adopt_locked(std::vector<Key> keys) {
  keys_ = std::move(keys);
  for (const Key& key : keys_) {
    if (key.revoked_unix_s != 0) continue;  // what its contexts still use is saved as ever
    std::shared_ptr<KeyQuota>& quota = quotas_[key.id];
    if (quota == nullptr) {
      quota = std::make_shared<KeyQuota>(key, now_);
    } else {
      quota->update(key);
    }
  }
}

Result<bool> Authenticator::asks_for_keys() {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(refresh_locked());
  return !keys_.empty();
}

Authentication Authenticator::authenticate(const std::vector<std::string_view>& secrets) {
  std::shared_ptr<KeyQuota> quota;
  {
    const std::lock_guard lock(mutex_);
    if (const Result<void> fresh = refresh_locked(); !fresh.ok()) return {nullptr, fresh.error()};
    if (keys_.empty()) return {};
    for (const std::string_view secret : secrets) {
      const KeyHash hash = hash_of_secret(secret);
      const Key* found = nullptr;
      for (const Key& key : keys_) {
        const bool same = CRYPTO_memcmp(hash.data(), key.hash.data(), hash.size()) == 0;
        if (same && key.revoked_unix_s == 0) found = &key;
      }
      if (found != nullptr && quota == nullptr) quota = quotas_.at(found->id);
    }
  }
  if (quota == nullptr) {
    return {nullptr,
            fail(Code::kUnauthenticated,
                 secrets.empty()
                     ? "This server asks for an API key: send it as `Authorization: Bearer KEY`."
                     : "This API key is not valid here.")};
  }
  Result<std::shared_ptr<RequestContext>> entered = quota->enter();
  if (!entered.ok()) return {quota->resume(), entered.error()};
  return {*std::move(entered), std::nullopt};
}

Result<std::shared_ptr<RequestContext>> Authenticator::resume(const std::string& key_id) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(refresh_locked());
  if (!is_valid_locked(key_id))
    return fail(Code::kUnauthenticated, "The key is not valid any more.");
  return quotas_.at(key_id)->resume();
}

bool Authenticator::is_valid_locked(const std::string& key_id) const {
  return std::ranges::any_of(
      keys_, [&](const Key& key) { return key.id == key_id && key.revoked_unix_s == 0; });
}

void Authenticator::save() {
  const std::lock_guard lock(mutex_);
  for (auto it = quotas_.begin(); it != quotas_.end();) {
    const auto& [id, quota] = *it;
    // No context is left, and no other can begin while the lock is held: nothing more will be used.
    const bool over = quota.use_count() == 1 && !is_valid_locked(id);
    const KeyQuota::Unsaved unsaved = quota->take_unsaved();
    bool saved = true;
    if (unsaved.tokens > 0) {
      const Result<int64_t> sum = store_.add_tokens(id, unsaved.day, unsaved.tokens);
      saved = sum.ok();
      saved ? quota->saved(unsaved.day, *sum) : quota->not_saved(unsaved);
    }
    it = over && saved ? quotas_.erase(it) : std::next(it);
  }
}

void Authenticator::save_often() {
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, kSavedEvery, [this] { return ending_; })) {
    lock.unlock();
    static_cast<void>(guarded("[keys]", [this] { save(); }));
    lock.lock();
  }
}

}  // namespace pippin::service
