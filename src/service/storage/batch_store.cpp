#include "service/storage/batch_store.h"

#include <mutex>
#include <utility>

#include "service/json.h"
#include "service/process.h"
#include "service/storage/database.h"
#include "service/storage/eviction.h"

namespace pippin::service {
namespace {

// A request's state: -2 waits, -1 is being answered by `owner`, else its outcome.
constexpr const char* kSchema = R"(
CREATE TABLE batches(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  cancelled INTEGER NOT NULL DEFAULT 0,
  ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE requests(
  batch TEXT NOT NULL REFERENCES batches(id),
  place INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  params TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT -2,
  owner TEXT NOT NULL DEFAULT '',
  result TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(batch, place)) WITHOUT ROWID;
CREATE INDEX open_requests ON requests(batch, place) WHERE state < 0;
)";

// A batch's row counts its requests' states and their bytes: the trigger keeps the sums, whoever
// changes a state. A batch that was put back `tries` times in a row is not taken before `due`.
constexpr const char* kCounted = R"(
DROP INDEX open_requests;
ALTER TABLE batches ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN succeeded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN errored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN canceled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
UPDATE batches SET (waiting, running, succeeded, errored, canceled, expired, bytes) = (
  SELECT total(state = -2), total(state = -1), total(state = 0), total(state = 1),
    total(state = 2), total(state = 3), total(length(params) + length(result))
  FROM requests WHERE batch = batches.id);
CREATE INDEX open_batches ON batches(seq) WHERE ended = 0;
CREATE INDEX waiting_requests ON requests(batch, place) WHERE state = -2;
CREATE INDEX running_requests ON requests(owner) WHERE state = -1;
CREATE TRIGGER count_requests AFTER UPDATE OF state ON requests BEGIN
  UPDATE batches SET
    waiting = waiting + (NEW.state = -2) - (OLD.state = -2),
    running = running + (NEW.state = -1) - (OLD.state = -1),
    succeeded = succeeded + (NEW.state = 0) - (OLD.state = 0),
    errored = errored + (NEW.state = 1) - (OLD.state = 1),
    canceled = canceled + (NEW.state = 2) - (OLD.state = 2),
    expired = expired + (NEW.state = 3) - (OLD.state = 3),
    bytes = bytes + length(NEW.result) - length(OLD.result)
  WHERE id = NEW.batch;
END;
)";

constexpr const char* kBatches =
    "SELECT id, key, created, expires, cancelled, ended, waiting, running, succeeded, errored,"
    " canceled, expired FROM batches ";

// Among batches that are due, the oldest comes first. A time that no put_back can have set is of a
// clock that was wrong.
constexpr const char* kNext =
    "SELECT r.batch, b.key, r.place, r.params FROM batches b CROSS JOIN requests r"
    " INDEXED BY waiting_requests ON r.batch = b.id AND r.state = -2"
    " WHERE b.ended = 0 AND b.waiting > 0 AND (b.due <= ?1 OR b.due > ?1 + 60000)"
    " AND b.key NOT IN (SELECT value FROM json_each(?2))"
    " ORDER BY b.seq, r.place LIMIT 1";

// From one second to a minute; requests that were under way at the same time count once.
constexpr const char* kDelay =
    "UPDATE batches SET due = ?2 + min(60000, 1000 << min(tries, 6)), tries = tries + 1"
    " WHERE id = ?1 AND (due <= ?2 OR due > ?2 + 60000)";

constexpr const char* kCanceled = R"({"type":"canceled"})";
constexpr const char* kExpired = R"({"type":"expired"})";

Batch read_batch(const Statement& row) {
  Batch batch;
  batch.id = row.text(0);
  batch.key_id = row.text(1);
  batch.created_ms = row.number(2);
  batch.expires_ms = row.number(3);
  batch.cancelled_ms = row.number(4);
  batch.ended_ms = row.number(5);
  batch.pending = row.number(6) + row.number(7);
  batch.total = batch.pending;
  for (int i = 0; i < 4; ++i) {
    batch.outcomes[i] = row.number(8 + i);
    batch.total += batch.outcomes[i];
  }
  return batch;
}

Error no_such(const std::string& id) {
  return fail(Code::kNotFound, "Message batch '" + id + "' not found.", "message_batch_id");
}

}  // namespace

struct BatchStore::Kept {
  const BatchStoreOptions options;
  std::mutex mutex;
  Database database;

  explicit Kept(BatchStoreOptions with)
      : options(std::move(with)),
        database({options.path, "batches", kSchema, {kCounted}, options.busy_ms}) {}

  Statement statement(const std::string& sql) { return {database.handle(), sql.c_str()}; }

  Result<Batch> get(const std::string& id) {
    Statement query = statement(std::string(kBatches) + "WHERE id = ?1");
    ASSIGN_OR_RETURN(const bool there, database.first(query.bind(1, id)));
    if (!there) return no_such(id);
    return read_batch(query);
  }

  Result<void> insert(const std::string& id, const std::string& key_id,
                      const std::vector<BatchRequest>& requests, int64_t now_ms, int64_t expires_ms,
                      int64_t key_bytes_max) {
    {
      int64_t bytes = 0;
      for (const BatchRequest& request : requests)
        bytes += static_cast<int64_t>(request.params_json.size());
      Statement batch = statement(
          "INSERT INTO batches(id, key, created, expires, waiting, bytes)"
          " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
      batch.bind(1, id).bind(2, key_id).bind(3, now_ms).bind(4, expires_ms);
      batch.bind(5, static_cast<int64_t>(requests.size())).bind(6, bytes);
      RETURN_IF_ERROR(database.done(batch));
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      Statement request =
          statement("INSERT INTO requests(batch, place, custom_id, params) VALUES(?1, ?2, ?3, ?4)");
      request.bind(1, id).bind(2, static_cast<int64_t>(i));
      request.bind(3, requests[i].custom_id).bind(4, requests[i].params_json);
      RETURN_IF_ERROR(database.done(request));
    }
    return make_room(key_id, key_bytes_max);
  }

  // The sums that the limits are about, by key, of the batches that a condition means.
  Result<Holdings> holdings(const std::string& condition) {
    Holdings all;
    Statement sums = statement("SELECT key, count(*), sum(bytes) FROM batches WHERE " + condition +
                               " GROUP BY key");
    RETURN_IF_ERROR(database.each(sums, [&](const Statement& row) {
      all[row.text(0)] = {row.number(1), row.number(2)};
    }));
    return all;
  }

  // Lets a key's oldest batch that has ended go; counts it out of `holding`. Returns false if there
  // is none.
  Result<bool> evict_one(const std::string& key, Holding& holding) {
    std::string oldest;
    {
      Statement query = statement(
          "SELECT id, bytes FROM batches WHERE ended > 0 AND key = ?1 ORDER BY seq LIMIT 1");
      ASSIGN_OR_RETURN(const bool there, database.first(query.bind(1, key)));
      if (!there) return false;
      oldest = query.text(0);
      holding.bytes -= query.number(1);
      --holding.count;
    }
    RETURN_IF_ERROR(erase(oldest));
    return true;
  }

  // Lets batches that have ended go until what is left keeps the limits: first of the key that has
  // made the new one, if it has a limit of its own; then of whoever holds the most. What has not
  // ended stays: no key may take more than half of the file with it.
  Result<void> make_room(const std::string& key_id, int64_t key_bytes_max) {
    const auto no_room = [](const char* why) { return fail(Code::kTooLarge, why, "requests"); };
    const auto erase_one = [this](const std::string& key, Holding& holding) {
      return evict_one(key, holding);
    };
    const Holding most{options.batches_max, static_cast<int64_t>(options.bytes_max)};
    ASSIGN_OR_RETURN(Holdings all, holdings("1"));
    ASSIGN_OR_RETURN(const bool own_fits, evict_own(key_id, key_bytes_max, all[key_id], erase_one));
    if (!own_fits) return no_room("There is no room for this batch in what the key may keep.");
    ASSIGN_OR_RETURN(Holdings open, holdings("ended = 0"));
    const Holding& own = open[key_id];
    if (!key_id.empty() && (own.count * 2 > most.count || own.bytes * 2 > most.bytes))
      return no_room("There is no room for this batch among the key's that have not ended.");
    Holding pinned;
    for (const auto& [key, holding] : open) {
      pinned.count += holding.count;
      pinned.bytes += holding.bytes;
    }
    ASSIGN_OR_RETURN(Holdings ended, holdings("ended > 0"));
    ASSIGN_OR_RETURN(const bool fits, evict_largest(most, pinned, std::move(ended), erase_one));
    if (!fits) return no_room("There is no room for this batch among those that have not ended.");
    return {};
  }

  Result<void> erase(const std::string& id) {
    for (const char* sql :
         {"DELETE FROM requests WHERE batch = ?1", "DELETE FROM batches WHERE id = ?1"}) {
      Statement remove = statement(sql);
      RETURN_IF_ERROR(database.done(remove.bind(1, id)));
    }
    return {};
  }

  /// Ends the requests that wait, and a batch that has none left.
  Result<void> end_open(const std::string& id, BatchOutcome outcome, std::string_view result,
                        int64_t now_ms) {
    Statement end = statement(
        "UPDATE requests INDEXED BY waiting_requests SET state = ?2, result = ?3"
        " WHERE batch = ?1 AND state = -2");
    end.bind(1, id).bind(2, static_cast<int64_t>(outcome)).bind(3, result);
    RETURN_IF_ERROR(database.done(end));
    return end_batch(id, now_ms);
  }

  Result<void> end_batch(const std::string& id, int64_t now_ms) {
    Statement end = statement(
        "UPDATE batches SET ended = ?2 WHERE id = ?1 AND ended = 0 AND waiting + running = 0");
    return database.done(end.bind(1, id).bind(2, now_ms));
  }

  // Frees what dead processes were at; ends what is cancelled or late.
  Result<void> tidy_up(int64_t now_ms) {
    std::vector<std::string> dead;
    {
      Statement owners = statement(
          "SELECT DISTINCT owner FROM requests INDEXED BY running_requests WHERE state = -1");
      while (owners.step() == SQLITE_ROW) {
        if (!process_lives(owners.text(0))) dead.push_back(owners.text(0));
      }
    }
    for (const std::string& owner : dead) {
      Statement free = statement(
          "UPDATE requests INDEXED BY running_requests SET state = -2, owner = ''"
          " WHERE state = -1 AND owner = ?1");
      RETURN_IF_ERROR(database.done(free.bind(1, owner)));
    }
    std::vector<std::pair<std::string, bool>> over;
    {
      Statement late = statement(
          "SELECT id, cancelled > 0 FROM batches WHERE ended = 0 AND"
          " (cancelled > 0 OR expires <= ?1)");
      late.bind(1, now_ms);
      while (late.step() == SQLITE_ROW) over.emplace_back(late.text(0), late.number(1) != 0);
    }
    for (const auto& [id, cancelled] : over) {
      const BatchOutcome outcome = cancelled ? BatchOutcome::kCanceled : BatchOutcome::kExpired;
      RETURN_IF_ERROR(end_open(id, outcome, cancelled ? kCanceled : kExpired, now_ms));
    }
    return {};
  }

  Result<void> cancel(const std::string& id, int64_t now_ms) {
    Statement cancel = statement(
        "UPDATE batches SET cancelled = ?2 WHERE id = ?1 AND cancelled = 0 AND ended = 0");
    RETURN_IF_ERROR(database.done(cancel.bind(1, id).bind(2, now_ms)));
    if (sqlite3_changes(database.handle()) == 0) return {};
    return end_open(id, BatchOutcome::kCanceled, kCanceled, now_ms);
  }

  Result<void> take(int64_t now_ms, const std::vector<std::string>& resting,
                    std::optional<BatchWork>& work) {
    RETURN_IF_ERROR(tidy_up(now_ms));
    {
      std::string left_out;
      JsonWriter json(left_out);
      json.begin_array();
      for (const std::string& key : resting) json.string(key);
      json.end_array();
      Statement next = statement(kNext);
      ASSIGN_OR_RETURN(const bool there, database.first(next.bind(1, now_ms).bind(2, left_out)));
      if (!there) return {};
      work = BatchWork{next.text(0), next.text(1), next.number(2), next.text(3)};
    }
    Statement own =
        statement("UPDATE requests SET state = -1, owner = ?3 WHERE batch = ?1 AND place = ?2");
    return database.done(own.bind(1, work->batch).bind(2, work->place).bind(3, process_name()));
  }
};

BatchStore::BatchStore(BatchStoreOptions options)
    : kept_(std::make_unique<Kept>(std::move(options))) {}

BatchStore::~BatchStore() = default;

Result<Batch> BatchStore::create(const std::string& id, const std::string& key_id,
                                 const std::vector<BatchRequest>& requests, int64_t now_ms,
                                 int64_t expires_ms, int64_t key_bytes_max) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.transact(
      [&] { return kept_->insert(id, key_id, requests, now_ms, expires_ms, key_bytes_max); }));
  return kept_->get(id);
}

Result<Batch> BatchStore::get(const std::string& id) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  return kept_->get(id);
}

Result<std::vector<Batch>> BatchStore::list(const std::string& key_id) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  Statement query = kept_->statement(std::string(kBatches) + "WHERE key = ?1 ORDER BY seq DESC");
  query.bind(1, key_id);
  std::vector<Batch> batches;
  RETURN_IF_ERROR(kept_->database.each(
      query, [&](const Statement& row) { batches.push_back(read_batch(row)); }));
  return batches;
}

Result<Batch> BatchStore::cancel(const std::string& id, int64_t now_ms) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.transact([&] { return kept_->cancel(id, now_ms); }));
  return kept_->get(id);
}

Result<void> BatchStore::remove(const std::string& id) {
  const std::lock_guard lock(kept_->mutex);
  return kept_->database.transact([&]() -> Result<void> {
    ASSIGN_OR_RETURN(const Batch batch, kept_->get(id));
    if (batch.ended_ms > 0) return kept_->erase(id);
    return fail(Code::kInvalidArgument,
                "Message batch '" + id + "' has not ended; cancel it first.", "message_batch_id");
  });
}

Result<std::vector<BatchResult>> BatchStore::results(const std::string& id) {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  ASSIGN_OR_RETURN(const Batch batch, kept_->get(id));
  if (batch.ended_ms == 0) {
    return fail(Code::kInvalidArgument,
                "Message batch '" + id + "' has no results yet: it has not ended.",
                "message_batch_id");
  }
  Statement query =
      kept_->statement("SELECT custom_id, result FROM requests WHERE batch = ?1 ORDER BY place");
  query.bind(1, id);
  std::vector<BatchResult> results;
  RETURN_IF_ERROR(kept_->database.each(query, [&](const Statement& row) {
    results.push_back({row.text(0), row.text(1)});
  }));
  return results;
}

Result<std::optional<BatchWork>> BatchStore::take(int64_t now_ms,
                                                  const std::vector<std::string>& resting) {
  const std::lock_guard lock(kept_->mutex);
  std::optional<BatchWork> work;
  RETURN_IF_ERROR(kept_->database.transact([&] { return kept_->take(now_ms, resting, work); }));
  return work;
}

Result<std::vector<std::string>> BatchStore::owners() {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  Statement query = kept_->statement("SELECT DISTINCT key FROM batches WHERE ended = 0");
  std::vector<std::string> keys;
  RETURN_IF_ERROR(
      kept_->database.each(query, [&](const Statement& row) { keys.push_back(row.text(0)); }));
  return keys;
}

Result<void> BatchStore::put_back(const BatchWork& work, int64_t now_ms) {
  const std::lock_guard lock(kept_->mutex);
  const std::string owner = process_name();
  return kept_->database.transact([&]() -> Result<void> {
    Statement free = kept_->statement(
        "UPDATE requests SET state = -2, owner = '' WHERE batch = ?1 AND place = ?2 AND"
        " state = -1 AND owner = ?3");
    free.bind(1, work.batch).bind(2, work.place).bind(3, owner);
    RETURN_IF_ERROR(kept_->database.done(free));
    Statement delay = kept_->statement(kDelay);
    return kept_->database.done(delay.bind(1, work.batch).bind(2, now_ms));
  });
}

Result<bool> BatchStore::has_open() {
  const std::lock_guard lock(kept_->mutex);
  RETURN_IF_ERROR(kept_->database.ensure_open());
  Statement open = kept_->statement("SELECT 1 FROM batches WHERE ended = 0 LIMIT 1");
  return kept_->database.first(open);
}

Result<void> BatchStore::finish(const BatchWork& work, BatchOutcome outcome,
                                std::string_view result_json, int64_t now_ms) {
  const std::lock_guard lock(kept_->mutex);
  const std::string owner = process_name();
  return kept_->database.transact([&]() -> Result<void> {
    {
      Statement end = kept_->statement(
          "UPDATE requests SET state = ?3, owner = '', result = ?4 WHERE batch = ?1 AND place = ?2"
          " AND state = -1 AND owner = ?5");
      end.bind(1, work.batch).bind(2, work.place).bind(5, owner);
      end.bind(3, static_cast<int64_t>(outcome)).bind(4, result_json);
      RETURN_IF_ERROR(kept_->database.done(end));
    }
    Statement again =
        kept_->statement("UPDATE batches SET tries = 0, due = 0 WHERE id = ?1 AND tries > 0");
    RETURN_IF_ERROR(kept_->database.done(again.bind(1, work.batch)));
    return kept_->end_batch(work.batch, now_ms);
  });
}

}  // namespace pippin::service
