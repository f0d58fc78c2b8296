#include "service/access/key_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace pippin::service {
namespace {

constexpr const char* kSchema = R"(
CREATE TABLE keys(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  requests_per_minute INTEGER NOT NULL,
  tokens_per_minute INTEGER NOT NULL,
  tokens_per_day INTEGER NOT NULL,
  concurrent INTEGER NOT NULL,
  created INTEGER NOT NULL,
  revoked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE usage(
  id TEXT NOT NULL,
  day INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  PRIMARY KEY(id, day)) WITHOUT ROWID;
)";

// A key may use models and manage none unless it was made for more. `changes` has one row, which
// counts what happens to keys: PRAGMA data_version would count for one connection only, and begin
// anew with the next.
constexpr const char* kRoles = R"(
ALTER TABLE keys ADD COLUMN role INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN priority_max INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN storage_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE changes(count INTEGER NOT NULL);
INSERT INTO changes VALUES(0);
CREATE TRIGGER key_made AFTER INSERT ON keys BEGIN UPDATE changes SET count = count + 1; END;
CREATE TRIGGER key_changed AFTER UPDATE ON keys BEGIN UPDATE changes SET count = count + 1; END;
CREATE TRIGGER key_gone AFTER DELETE ON keys BEGIN UPDATE changes SET count = count + 1; END;
)";

constexpr const char* kInsert = R"(
INSERT INTO keys(id, name, hash, requests_per_minute, tokens_per_minute, tokens_per_day, concurrent, created,
  role, models, priority_max, storage_bytes)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12))";

constexpr const char* kList = R"(
SELECT k.id, k.name, k.hash, k.requests_per_minute, k.tokens_per_minute, k.tokens_per_day, k.concurrent,
  k.created, k.revoked, coalesce(u.tokens, 0), k.role, k.models, k.priority_max,
  k.storage_bytes
FROM keys k LEFT JOIN usage u ON u.id = k.id AND u.day = ?1 ORDER BY k.seq)";

constexpr const char* kAdd = R"(
INSERT INTO usage(id, day, tokens) VALUES(?1, ?2, ?3)
ON CONFLICT(id, day) DO UPDATE SET tokens = tokens + ?3 RETURNING tokens)";

constexpr size_t kNameBytesMax = 100;
constexpr int kDaysKept = 400;
constexpr size_t kIdBytes = 6, kSecretBytes = 32;

std::string hex(const unsigned char* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) fmt::format_to(std::back_inserter(text), "{:02x}", bytes[i]);
  return text;
}

template <size_t kSize>
std::string random_hex() {
  std::array<unsigned char, kSize> bytes{};
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1,
        "the system has random bytes");
  return hex(bytes.data(), bytes.size());
}

KeyHash hash_of_hex(std::string_view text) {
  KeyHash hash{};
  const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  for (size_t i = 0; i < hash.size() && 2 * i + 1 < text.size(); ++i)
    hash[i] = static_cast<unsigned char>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  return hash;
}

// What is no role is the lowest one.
Permissions permissions_of(const Statement& row) {
  Permissions permissions;
  for (const KeyRole role : {KeyRole::kManage, KeyRole::kAdminister}) {
    if (row.number(10) == static_cast<int64_t>(role)) permissions.role = role;
  }
  const std::string models = row.text(11);
  for (size_t at = 0; at < models.size();) {
    const size_t end = std::min(models.find('\n', at), models.size());
    permissions.models.push_back(models.substr(at, end - at));
    at = end + 1;
  }
  permissions.priority_max = static_cast<int>(std::clamp<int64_t>(row.number(12), -1, 1));
  permissions.storage_bytes = std::max<int64_t>(row.number(13), 0);
  return permissions;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
}

}  // namespace

int64_t day_of(int64_t unix_s) { return unix_s / 86'400; }

KeyHash hash_of_secret(std::string_view secret) {
  KeyHash hash{};
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), hash.data());
  return hash;
}

// A key that was revoked stays so, whatever happens to the machine.
DatabaseOptions key_database(std::string path) {
  return {.path = std::move(path),
          .what = "keys",
          .schema = kSchema,
          .upgrades = {kRoles},
          .durable = true};
}

KeyStore::KeyStore(std::string path) : database_(key_database(std::move(path))) {}

// A server must not make a file only by looking: with a file, keys are asked for.
Result<bool> KeyStore::open_if_there() {
  if (!database_.is_open() && database_.path() != ":memory:") {
    std::error_code ec;
    const std::filesystem::file_status status = std::filesystem::status(database_.path(), ec);
    if (status.type() == std::filesystem::file_type::not_found) return false;
    // Whether there are keys is not known: that is not the same as none.
    if (ec) return fail(Code::kUnavailable, "The file of keys cannot be looked at now.", "keys");
  }
  RETURN_IF_ERROR(database_.ensure_open());
  return true;
}

Result<NewKey> KeyStore::create(const std::string& name, const KeyLimits& limits,
                                int64_t now_unix_s, const Permissions& permissions) {
  if (!is_plain_name(name))
    return fail(Code::kInvalidArgument, "expected a name of 1 to 100 letters", "NAME");
  ASSIGN_OR_RETURN(const std::vector<Key> keys, list(now_unix_s));
  for (const Key& key : keys) {
    if (key.name == name && key.revoked_unix_s == 0)
      return fail(Code::kInvalidArgument, "there is a key called " + name + " already", "NAME");
  }
  RETURN_IF_ERROR(database_.ensure_open());
  NewKey made;
  made.secret = "pk-" + random_hex<kSecretBytes>();
  made.key = {random_hex<kIdBytes>(),
              name,
              hash_of_secret(made.secret),
              limits,
              permissions,
              now_unix_s,
              0,
              0};
  const std::string hash = hex(made.key.hash.data(), made.key.hash.size());
  Statement insert(database_.handle(), kInsert);
  insert.bind(1, made.key.id).bind(2, name).bind(3, hash).bind(4, limits.requests_per_minute);
  insert.bind(5, limits.tokens_per_minute).bind(6, limits.tokens_per_day);
  insert.bind(7, limits.concurrent).bind(8, now_unix_s);
  const std::string models = fmt::format("{}", fmt::join(permissions.models, "\n"));
  insert.bind(9, static_cast<int64_t>(permissions.role)).bind(10, models);
  insert.bind(11, int64_t{permissions.priority_max}).bind(12, permissions.storage_bytes);
  RETURN_IF_ERROR(database_.done(insert));
  return made;
}

Result<Key> KeyStore::revoke(const std::string& id_or_name, int64_t now_unix_s) {
  ASSIGN_OR_RETURN(const std::vector<Key> keys, list(now_unix_s));
  const auto found = std::ranges::find_if(keys, [&](const Key& key) {
    return key.revoked_unix_s == 0 && (key.id == id_or_name || key.name == id_or_name);
  });
  if (found == keys.end())
    return fail(Code::kNotFound, "no valid key has the id or name " + id_or_name, "KEY");
  Statement update(database_.handle(), "UPDATE keys SET revoked = ?2 WHERE id = ?1");
  RETURN_IF_ERROR(database_.done(update.bind(1, found->id).bind(2, now_unix_s)));
  return *found;
}

Result<std::vector<Key>> KeyStore::list(int64_t now_unix_s) {
  std::vector<Key> keys;
  ASSIGN_OR_RETURN(const bool there, open_if_there());
  if (!there) return keys;
  Statement query(database_.handle(), kList);
  query.bind(1, day_of(now_unix_s));
  RETURN_IF_ERROR(database_.each(query, [&](const Statement& row) {
    KeyLimits limits{row.number(3), row.number(4), row.number(5), row.number(6)};
    keys.push_back({row.text(0), row.text(1), hash_of_hex(row.text(2)), limits, permissions_of(row),
                    row.number(7), row.number(8), row.number(9)});
  }));
  return keys;
}

Result<int64_t> KeyStore::version() {
  ASSIGN_OR_RETURN(const bool there, open_if_there());
  if (!there) return 0;
  Statement query(database_.handle(), "SELECT count FROM changes");
  if (const int code = query.step(); code != SQLITE_ROW) return database_.failure(code);
  return 1 + query.number(0);
}

Result<int64_t> KeyStore::add_tokens(const std::string& id, int64_t day, int64_t tokens) {
  RETURN_IF_ERROR(database_.ensure_open());
  Statement add(database_.handle(), kAdd);
  const int code = add.bind(1, id).bind(2, day).bind(3, tokens).step();
  if (code != SQLITE_ROW) return database_.failure(code);
  const int64_t sum = add.number(0);
  Statement forget(database_.handle(), "DELETE FROM usage WHERE day < ?1");
  RETURN_IF_ERROR(database_.done(forget.bind(1, day - kDaysKept)));
  return sum;
}

}  // namespace pippin::service
