#include "service/storage/database.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/log.h"

namespace pippin::service {
namespace {

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

void Database::close() {
  sqlite3_close_v2(handle_);
  handle_ = nullptr;
}

Error Database::failure(int code) {
  log::warn("[{}] {}: {}", options_.what, options_.path, sqlite3_errstr(code));
  const int kind = code & 0xFF;
  if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_IOERR ||
      kind == SQLITE_CANTOPEN || kind == SQLITE_READONLY)
    close();  // the next call begins anew
  return fail(Code::kUnavailable,
              "The store of " + options_.what + " cannot be used now: " + reason_of(code) + ".",
              "store");
}

Result<void> Database::run(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return {};
}

// A file for its owner only: what is in it is private. SQLite gives its side files the same mode.
void Database::make_file() const {
  if (options_.path == ":memory:") return;
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::path(options_.path).parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, ignored))
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
  const int file = ::open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) ::close(file);
}

Result<void> Database::ensure_open() {
  if (handle_ != nullptr) return {};
  make_file();
  const int code = sqlite3_open_v2(options_.path.c_str(), &handle_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  if (code != SQLITE_OK) {
    const Error error = failure(code);
    close();
    return error;
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, options_.busy_ms);
  Result<void> ready = prepare();
  if (!ready.ok()) close();
  return ready;
}

Result<void> Database::prepare() {
  // The file is not trusted: what its schema calls, and cells that lie, are errors.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  RETURN_IF_ERROR(
      run("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
          "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
          "PRAGMA secure_delete = ON"));
  RETURN_IF_ERROR(
      run(options_.durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  return transact([this] { return make_schema(); });
}

Result<bool> Database::first(Statement& statement) {
  const int code = statement.step();
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return failure(code);
}

Result<void> Database::done(Statement& statement) {
  const int code = statement.step();
  if (code != SQLITE_DONE) return failure(code);
  return {};
}

Result<void> Database::make_schema() {
  int64_t version = 0;
  {
    Statement query(handle_, "PRAGMA user_version");
    if (const int code = query.step(); code != SQLITE_ROW) return failure(code);
    version = query.number(0);
  }
  const auto newest = static_cast<int64_t>(options_.upgrades.size()) + 1;
  if (version == newest) return {};
  if (version < 0 || version > newest) {
    return fail(
        Code::kUnavailable,
        "The store of " + options_.what + " was written by a newer version of this program.",
        "store");
  }
  if (version == 0) RETURN_IF_ERROR(run(options_.schema));
  for (int64_t from = std::max<int64_t>(version, 1); from < newest; ++from)
    RETURN_IF_ERROR(run(options_.upgrades[static_cast<size_t>(from - 1)]));
  return run(("PRAGMA user_version = " + std::to_string(newest)).c_str());
}

}  // namespace pippin::service
