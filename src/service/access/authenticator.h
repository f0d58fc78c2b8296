// Authenticator: decides by its key whether a request is let in, and counts what each key
// uses. With a file of keys, every request needs a valid one; revoking the last one shuts the door.
// While the file cannot be read, nobody is let in: whether a key is still valid is not known then.
// Owner: the app. Thread: any; its own lock, and a thread that saves what was used.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/request_context.h"
#include "base/result.h"
#include "base/thread.h"
#include "service/access/key_quota.h"
#include "service/access/key_store.h"

namespace pippin::service {

class Authenticator {
 public:
  /// `now` gives seconds since 1970. The file need not be there yet.
  explicit Authenticator(std::string path, KeyQuota::Now now);
  /// Saves what is not saved yet.
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// Returns whether requests need a key. Errors: kUnavailable, if the file cannot be read.
  Result<bool> asks_for_keys();

  /// Lets a request in that presents these secrets, the first valid of which counts; no caller
  /// where no key is needed. Refusals: kUnauthenticated; kRateLimited, with the caller that it is
  /// about; kUnavailable. Cost: one hash for each secret, and a comparison with every key, in the
  /// same time whatever differs.
  Authentication authenticate(const std::vector<std::string_view>& secrets);

  /// Begins a context for work that a key's holder has left to be done: it counts what it uses, and
  /// is no request by the minute. Errors: kUnauthenticated, if the key is not valid any more;
  /// kUnavailable.
  Result<std::shared_ptr<RequestContext>> resume(const std::string& key_id);

  /// Writes what was used to the file now.
  void save();

 private:
  Result<void> refresh_locked();
  void adopt_locked(std::vector<Key> keys);
  bool is_valid_locked(const std::string& key_id) const;
  void save_often();

  const KeyQuota::Now now_;
  std::mutex mutex_;  // of all below but the quotas' own
  KeyStore store_;
  int64_t version_ = -1;   // of the file, as keys_ tells it; -1: keys_ was never read
  std::vector<Key> keys_;  // all, the revoked ones among them
  std::map<std::string, std::shared_ptr<KeyQuota>>
      quotas_;  // by id; revoked ones while they are used
  std::condition_variable ends_;
  bool ending_ = false;
  Thread saver_;
};

}  // namespace pippin::service
