#include "service/response_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <random>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace pippin::service {
namespace {

constexpr int kSchemaVersion = 1;

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

constexpr const char* kPut = R"(
INSERT INTO responses(id, previous, body, input, owner, bytes, used)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, (SELECT coalesce(max(used), 0) + 1 FROM responses))
ON CONFLICT(id) DO UPDATE SET previous = ?2, body = ?3, input = ?4, owner = ?5, bytes = ?6,
  used = (SELECT max(used) + 1 FROM responses))";

constexpr const char* kTouch = R"(
WITH RECURSIVE chain(id) AS (
  SELECT ?1 UNION SELECT r.previous FROM responses r JOIN chain c ON r.id = c.id)
UPDATE responses SET used = (SELECT max(used) FROM responses) WHERE id IN (SELECT id FROM chain))";

constexpr const char* kGet = "SELECT previous, body, input, owner FROM responses WHERE id = ?1";

// The process that works on an answer: its number, and a word that tells it from a later process
// of the same number.
std::string this_process() {
  static const std::string name = [] {
    std::random_device random;
    return std::to_string(getpid()) + ":" + std::to_string(random());
  }();
  return name;
}

bool lives(std::string_view owner) {
  if (owner == this_process()) return true;
  pid_t pid = 0;
  const auto parsed = std::from_chars(owner.data(), owner.data() + owner.size(), pid);
  if (parsed.ec != std::errc() || pid <= 0 || pid == getpid()) return false;
  return kill(pid, 0) == 0 || errno == EPERM;
}

/// A prepared statement that runs once.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    code_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int at, std::string_view text) {
    if (code_ == SQLITE_OK)
      code_ =
          sqlite3_bind_text64(statement_, at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  Statement& bind(int at, int64_t number) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_, at, number);
    return *this;
  }
  /// Returns SQLITE_ROW, SQLITE_DONE or an error's code.
  int step() {
    if (code_ == SQLITE_OK || code_ == SQLITE_ROW) code_ = sqlite3_step(statement_);
    return code_;
  }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return {bytes == nullptr ? "" : bytes,
            static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
};

std::string reason_of(int code) {
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program holds its lock";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "its file is damaged, or is no database; move it away";
    case SQLITE_FULL:
      return "the disk is full";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return "its file cannot be opened for writing";
    default:
      return sqlite3_errstr(code);
  }
}

}  // namespace

struct ResponseStore::Database {
  const ResponseStoreOptions options;
  std::mutex mutex;
  sqlite3* handle = nullptr;

  explicit Database(ResponseStoreOptions with) : options(std::move(with)) {}
  ~Database() { close(); }

  void close() {
    sqlite3_close_v2(handle);
    handle = nullptr;
  }

  // Notes a failure for the operator, and says it without the path for the client.
  Error failure(int code) {
    log::warn("[responses] {}: {}", options.path, sqlite3_errstr(code));
    const int kind = code & 0xFF;
    if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_IOERR ||
        kind == SQLITE_CANTOPEN)
      close();  // the next call begins anew
    return fail(Code::kUnavailable,
                "The store of responses cannot be used now: " + reason_of(code) + ".", "store");
  }

  Result<void> run(const char* sql) {
    const int code = sqlite3_exec(handle, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return failure(code);
    return {};
  }

  // A file for its owner only: what is in it is private. SQLite gives its side files the same mode.
  void make_file() const {
    if (options.path == ":memory:") return;
    std::error_code ignored;
    const std::filesystem::path folder = std::filesystem::path(options.path).parent_path();
    if (!folder.empty() && std::filesystem::create_directories(folder, ignored))
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
    const int file = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) ::close(file);
  }

  Result<void> ensure_open() {
    if (handle != nullptr) return {};
    make_file();
    const int code = sqlite3_open_v2(options.path.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    if (code != SQLITE_OK) {
      const Error error = failure(code);
      close();
      return error;
    }
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, options.busy_ms);
    Result<void> ready = prepare();
    if (!ready.ok()) close();
    return ready;
  }

  Result<void> prepare() {
    RETURN_IF_ERROR(
        run("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
            "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON"));
    RETURN_IF_ERROR(run("BEGIN IMMEDIATE"));
    const Result<void> made = make_schema();
    const Result<void> ended = run(made.ok() ? "COMMIT" : "ROLLBACK");
    return made.ok() ? ended : made;
  }

  Result<void> make_schema() {
    int64_t version = 0;
    {
      Statement query(handle, "PRAGMA user_version");
      if (const int code = query.step(); code != SQLITE_ROW) return failure(code);
      version = query.number(0);
    }
    if (version == kSchemaVersion) return {};
    if (version != 0) {
      return fail(Code::kUnavailable,
                  "The store of responses was written by a newer version of this program.",
                  "store");
    }
    RETURN_IF_ERROR(run(kSchema));
    return run(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  }

  Result<void> put(const StoredResponse& response) {
    const auto bytes = static_cast<int64_t>(response.body_json.size() + response.input_json.size());
    {
      Statement insert(handle, kPut);
      insert.bind(1, response.id).bind(2, response.previous_id);
      insert.bind(3, response.body_json).bind(4, response.input_json);
      const std::string owner = response.pending ? this_process() : std::string();
      insert.bind(5, owner).bind(6, bytes);
      if (const int code = insert.step(); code != SQLITE_DONE) return failure(code);
    }
    if (!response.previous_id.empty()) {
      Statement touch(handle, kTouch);
      if (const int code = touch.bind(1, response.id).step(); code != SQLITE_DONE)
        return failure(code);
    }
    return evict(response.id);
  }

  // Lets the least recently used go until what is left keeps the limits; never `kept` itself.
  Result<void> evict(const std::string& kept) {
    int64_t count = 0, bytes = 0;
    {
      Statement sum(handle, "SELECT count(*), coalesce(sum(bytes), 0) FROM responses");
      if (const int code = sum.step(); code != SQLITE_ROW) return failure(code);
      count = sum.number(0);
      bytes = sum.number(1);
    }
    const auto over = [&] {
      return count > options.responses_max || bytes > static_cast<int64_t>(options.bytes_max);
    };
    std::vector<int64_t> gone;
    if (over()) {
      Statement oldest(handle, "SELECT seq, bytes, id FROM responses ORDER BY used, seq DESC");
      while (over() && oldest.step() == SQLITE_ROW) {
        if (oldest.text(2) == kept) continue;
        gone.push_back(oldest.number(0));
        --count;
        bytes -= oldest.number(1);
      }
    }
    for (const int64_t seq : gone) {
      Statement remove(handle, "DELETE FROM responses WHERE seq = ?1");
      if (const int code = remove.bind(1, seq).step(); code != SQLITE_DONE) return failure(code);
    }
    return {};
  }

  Result<StoredResponse> get(const std::string& id) {
    Statement query(handle, kGet);
    const int code = query.bind(1, id).step();
    if (code == SQLITE_DONE)
      return fail(Code::kNotFound, "Response with id '" + id + "' not found.", "id");
    if (code != SQLITE_ROW) return failure(code);
    StoredResponse response{id, query.text(0), query.text(1), query.text(2), false, false};
    const std::string owner = query.text(3);
    response.pending = !owner.empty();
    response.lost = response.pending && !lives(owner);
    return response;
  }
};

ResponseStore::ResponseStore(ResponseStoreOptions options)
    : database_(std::make_unique<Database>(std::move(options))) {}

ResponseStore::~ResponseStore() = default;

Result<void> ResponseStore::open() {
  const std::lock_guard lock(database_->mutex);
  return database_->ensure_open();
}

Result<void> ResponseStore::put(const StoredResponse& response) {
  const size_t bytes = response.body_json.size() + response.input_json.size();
  if (bytes > database_->options.bytes_max) {
    return fail(Code::kTooLarge,
                "The response is larger than the whole store of responses may become.", "store");
  }
  const std::lock_guard lock(database_->mutex);
  RETURN_IF_ERROR(database_->ensure_open());
  RETURN_IF_ERROR(database_->run("BEGIN IMMEDIATE"));
  Result<void> put = database_->put(response);
  if (put.ok()) put = database_->run("COMMIT");
  if (!put.ok()) {
    // Some failures have rolled back already, and then this one says so; neither is news.
    if (database_->handle != nullptr)
      sqlite3_exec(database_->handle, "ROLLBACK", nullptr, nullptr, nullptr);
    return put;
  }
  sqlite3_exec(database_->handle, "PRAGMA incremental_vacuum(64)", nullptr, nullptr, nullptr);
  return {};
}

Result<StoredResponse> ResponseStore::get(const std::string& id) {
  const std::lock_guard lock(database_->mutex);
  RETURN_IF_ERROR(database_->ensure_open());
  return database_->get(id);
}

Result<std::vector<StoredResponse>> ResponseStore::chain(const std::string& id, size_t bytes_max) {
  const std::lock_guard lock(database_->mutex);
  RETURN_IF_ERROR(database_->ensure_open());
  std::vector<StoredResponse> chain;
  size_t bytes = 0;
  for (std::string next = id; !next.empty();) {
    ASSIGN_OR_RETURN(StoredResponse response, database_->get(next));
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

Result<void> ResponseStore::remove(const std::string& id) {
  const std::lock_guard lock(database_->mutex);
  RETURN_IF_ERROR(database_->ensure_open());
  Statement remove(database_->handle, "DELETE FROM responses WHERE id = ?1");
  if (const int code = remove.bind(1, id).step(); code != SQLITE_DONE)
    return database_->failure(code);
  if (sqlite3_changes(database_->handle) == 0)
    return fail(Code::kNotFound, "Response with id '" + id + "' not found.", "id");
  return {};
}

}  // namespace pippin::service
