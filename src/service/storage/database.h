// Database: one SQLite file of this program's state, private to its owner, with a schema of ours.
// Statement: one prepared statement. Owner: a store. Thread: one at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::service {

struct DatabaseOptions {
  std::string path;    // made, with its folder, for its owner only; ":memory:" works
  std::string what;    // what it holds, for messages: "responses"
  const char* schema;  // makes the tables of version 1
  std::vector<const char*> upgrades = {};  // [i] makes version i + 2 of version i + 1
  int busy_ms = 500;                       // how long to wait for another program's lock
  bool durable = false;                    // a change that was noted outlives a power cut
};

class Statement;

/// Errors of every call: kUnavailable, when the file cannot be used (locked, damaged, disk full, no
/// permission). The next call tries again, so that a repaired file needs no restart.
class Database {
 public:
  explicit Database(DatabaseOptions options) : options_(std::move(options)) {}
  ~Database() { close(); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Opens the file unless it is open; makes it, if there is none.
  Result<void> ensure_open();
  bool is_open() const { return handle_ != nullptr; }
  /// Requires: is_open().
  sqlite3* handle() const { return handle_; }
  const std::string& path() const { return options_.path; }

  /// Runs statements without results.
  Result<void> run(const char* sql);
  /// Runs a statement that has no rows to give.
  Result<void> done(Statement& statement);
  /// Runs a statement up to its first row. Returns false if it has none.
  Result<bool> first(Statement& statement);
  /// Runs a statement, and calls `read` for each of its rows.
  template <typename Read>
  Result<void> each(Statement& statement, Read read);
  /// Opens the file if need be, and does `work`, which returns a Result<void>, as a whole or not at
  /// all.
  template <typename Work>
  Result<void> transact(Work work);
  /// Notes SQLite's failure for the operator, and says it without the path for a client. A file
  /// that cannot be used is closed.
  Error failure(int code);
  void close();

 private:
  void make_file() const;
  Result<void> prepare();
  Result<void> make_schema();

  const DatabaseOptions options_;
  sqlite3* handle_ = nullptr;
};

template <typename Work>
Result<void> Database::transact(Work work) {
  RETURN_IF_ERROR(ensure_open());
  RETURN_IF_ERROR(run("BEGIN IMMEDIATE"));
  Result<void> result = work();
  if (result.ok()) result = run("COMMIT");
  // Some failures have rolled back already, and then this one says so; neither is news.
  if (!result.ok() && is_open()) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  return result;
}

template <typename Read>
Result<void> Database::each(Statement& statement, Read read) {
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, first(statement));
    if (!more) return {};
    read(statement);
  }
}

/// A prepared statement that runs once, or through its rows. Lives while what is bound to it lives.
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

}  // namespace pippin::service
