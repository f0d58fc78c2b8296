#include "service/storage/response_store.h"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <utility>

#include "service/process.h"
#include "service/storage/database.h"
#include "service/storage/eviction.h"

namespace pippin::service {
namespace {

// `used` grows with every use. A response's use counts for those it goes on from, too; of equals
// the youngest goes first, so that a conversation is shortened from its end and never broken.
constexpr const char* kSchema = R"(
CREATE TABLE responses(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  previous TEXT NOT NULL,
  body TEXT NOT NULL,
  input TEXT NOT NULL,
  owner TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  used INTEGER NOT NULL);
CREATE INDEX by_use ON responses(used, seq DESC);
)";
// What nobody's key has made stays nobody's.
constexpr const char* kOwned = "ALTER TABLE responses ADD COLUMN key TEXT NOT NULL DEFAULT ''";

constexpr const char* kPut = R"(
INSERT INTO responses(id, previous, body, input, owner, bytes, key, used)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT coalesce(max(used), 0) + 1 FROM responses))
ON CONFLICT(id) DO UPDATE SET previous = ?2, body = ?3, input = ?4, owner = ?5, bytes = ?6,
  used = (SELECT max(used) + 1 FROM responses))";

constexpr const char* kTouch = R"(
WITH RECURSIVE chain(id) AS (
  SELECT ?1 UNION SELECT r.previous FROM responses r JOIN chain c ON r.id = c.id)
UPDATE responses SET used = (SELECT max(used) FROM responses) WHERE id IN (SELECT id FROM chain))";

constexpr const char* kGet =
    "SELECT previous, body, input, owner FROM responses WHERE id = ?1 AND key = ?2";

Error not_found(const std::string& id) {
  return fail(Code::kNotFound, "Response with id '" + id + "' not found.", "id");
}

}  // namespace

struct ResponseStore::Kept {
  const ResponseStoreOptions options;
  std::mutex mutex;
  Database database;

  explicit Kept(ResponseStoreOptions with)
      : options(std::move(with)),
        database({options.path, "responses", kSchema, {kOwned}, options.busy_ms}) {}

  Result<void> put(const StoredResponse& response) {
    const auto bytes = static_cast<int64_t>(response.body_json.size() + response.input_json.size());
    {
      Statement insert(database.handle(), kPut);
      insert.bind(1, response.id).bind(2, response.previous_id);
      insert.bind(3, response.body_json).bind(4, response.input_json);
      const std::string owner = response.pending ? process_name() : std::string();
      insert.bind(5, owner).bind(6, bytes).bind(7, response.key_id);
      RETURN_IF_ERROR(database.done(insert));
    }
    if (!response.previous_id.empty()) {
      Statement touch(database.handle(), kTouch);
      RETURN_IF_ERROR(database.done(touch.bind(1, response.id)));
    }
    return evict(response);
  }

  Result<Holdings> holdings() {
    Holdings all;
    Statement sums(database.handle(),
                   "SELECT key, count(*), sum(bytes) FROM responses GROUP BY key");
    RETURN_IF_ERROR(database.each(sums, [&](const Statement& row) {
      all[row.text(0)] = {row.number(1), row.number(2)};
    }));
    return all;
  }

  // Lets a key's least recently used response go, if it is not `kept`; counts it out of `holding`.
  // Returns false if there is none.
  Result<bool> evict_one(const std::string& key, const std::string& kept, Holding& holding) {
    int64_t seq = 0;
    {
      Statement oldest(database.handle(),
                       "SELECT seq, bytes FROM responses WHERE key = ?1 AND id <> ?2"
                       " ORDER BY used, seq DESC LIMIT 1");
      ASSIGN_OR_RETURN(const bool there, database.first(oldest.bind(1, key).bind(2, kept)));
      if (!there) return false;
      seq = oldest.number(0);
      holding.bytes -= oldest.number(1);
      --holding.count;
    }
    Statement remove(database.handle(), "DELETE FROM responses WHERE seq = ?1");
    RETURN_IF_ERROR(database.done(remove.bind(1, seq)));
    return true;
  }

  // Lets responses go until what is left keeps the limits; never `kept` itself.
  Result<void> evict(const StoredResponse& kept) {
    const auto erase_one = [&](const std::string& key, Holding& holding) {
      return evict_one(key, kept.id, holding);
    };
    ASSIGN_OR_RETURN(Holdings held, holdings());
    RETURN_IF_ERROR(evict_own(kept.key_id, kept.key_bytes_max, held[kept.key_id], erase_one));
    const Holding most{options.responses_max, static_cast<int64_t>(options.bytes_max)};
    RETURN_IF_ERROR(evict_largest(most, {}, std::move(held), erase_one));
    return {};
  }

  Result<StoredResponse> get(const std::string& id, const std::string& key_id) {
    Statement query(database.handle(), kGet);
    ASSIGN_OR_RETURN(const bool there, database.first(query.bind(1, id).bind(2, key_id)));
    if (!there) return not_found(id);
    StoredResponse response{id, key_id, query.text(0), query.text(1), query.text(2), false, false};
    const std::string owner = query.text(3);
    response.pending = !owner.empty();
    response.lost = response.pending && !process_lives(owner);
    return response;
  }
};

ResponseStore::ResponseStore(ResponseStoreOptions options)
    : kept_(std::make_unique<Kept>(std::move(options))) {}

ResponseStore::~ResponseStore() = default;

Result<void> ResponseStore::open() {
  const std::lock_guard lock(kept_->mutex);
  return kept_->database.ensure_open();
}

Result<void> ResponseStore::put(const StoredResponse& response) {
  const size_t bytes = response.body_json.size() + response.input_json.size();
  if (bytes > kept_->options.bytes_max) {
    return fail(Code::kTooLarge,
                "The response is larger than the whole store of responses may become.", "store");
  }
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.transact([&] { return kept_->put(response); }));
  sqlite3_exec(kept_->database.handle(), "PRAGMA incremental_vacuum(64)", nullptr, nullptr,
               nullptr);
  return {};
}

Result<StoredResponse> ResponseStore::get(const std::string& id, const std::string& key_id) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  return kept_->get(id, key_id);
}

Result<std::vector<StoredResponse>> ResponseStore::chain(const std::string& id,
                                                         const std::string& key_id,
                                                         size_t bytes_max) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  std::vector<StoredResponse> chain;
  size_t bytes = 0;
  for (std::string next = id; !next.empty();) {
    ASSIGN_OR_RETURN(StoredResponse response, kept_->get(next, key_id));
    bytes += response.body_json.size() + response.input_json.size();
    const bool circular =
        std::ranges::any_of(chain, [&](const StoredResponse& seen) { return seen.id == next; });
    if (bytes > bytes_max || circular) {
      return fail(Code::kTooLarge, "The conversation up to response '" + id + "' is too long.",
                  "previous_response_id");
    }
    next = response.previous_id;
    chain.push_back(std::move(response));
  }
  std::ranges::reverse(chain);
  return chain;
}

Result<void> ResponseStore::remove(const std::string& id, const std::string& key_id) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  Statement remove(kept_->database.handle(), "DELETE FROM responses WHERE id = ?1 AND key = ?2");
  RETURN_IF_ERROR(kept_->database.done(remove.bind(1, id).bind(2, key_id)));
  if (sqlite3_changes(kept_->database.handle()) == 0) return not_found(id);
  return {};
}

}  // namespace pippin::service
