// KeyStore: API keys, their limits and what they have used, in one SQLite file. A key's secret is
// told once, when it is made; kept is its SHA-256. Several programs may use one file at a time: a
// server sees at once what `pippin key` does.
// Owner: the authenticator, or a command. Thread: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/access.h"
#include "base/result.h"
#include "service/storage/database.h"

namespace pippin::service {

/// What a key may use. 0: without limit.
struct KeyLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t tokens_per_day = 0;  // by UTC
  int64_t concurrent = 0;      // requests at the same time
  bool operator==(const KeyLimits&) const = default;
};

using KeyHash = std::array<unsigned char, 32>;

struct Key {
  std::string id;  // public
  std::string name;
  KeyHash hash{};
  KeyLimits limits;
  Permissions permissions;
  int64_t created_unix_s = 0;
  int64_t revoked_unix_s = 0;  // 0: it is valid
  int64_t tokens_today = 0;
};

struct NewKey {
  Key key;
  std::string secret;  // "pk-..."
};

/// Returns the day of a time, counted from 1970 by UTC.
int64_t day_of(int64_t unix_s);
KeyHash hash_of_secret(std::string_view secret);

/// Returns how the file of keys at `path` is opened.
DatabaseOptions key_database(std::string path);

/// Errors of every call: kUnavailable, as Database's.
class KeyStore {
 public:
  /// `path`: made, with its folder, by create().
  explicit KeyStore(std::string path);

  /// Makes a key from 256 random bits. Errors: kInvalidArgument, if the name is empty, too long, or
  /// a valid key has it.
  Result<NewKey> create(const std::string& name, const KeyLimits& limits, int64_t now_unix_s,
                        const Permissions& permissions = {});
  /// Ends a key, by its id or name. Errors: kNotFound, if no valid key has it.
  Result<Key> revoke(const std::string& id_or_name, int64_t now_unix_s);
  /// Returns all keys that there ever were, the oldest first. None, if there is no file.
  Result<std::vector<Key>> list(int64_t now_unix_s);

  /// Returns a number that grows with every change of a key, whoever makes it; 0 without a file. It
  /// is kept in the file, so that it means the same after the file was closed and opened again.
  Result<int64_t> version();
  /// Adds to what a key has used on a day. Returns the sum.
  Result<int64_t> add_tokens(const std::string& id, int64_t day, int64_t tokens);

 private:
  Result<bool> open_if_there();

  Database database_;
};

}  // namespace pippin::service
