// AuditLog: a JSON line for each request that has ended, appended to a file of the operator's.
// Lines that cannot be written now are kept and written before all later ones. Owner: serve.
// Thread: any; its own lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"
#include "service/readiness.h"

namespace pippin::app {

class AuditLog {
 public:
  /// Opens the file, made for its owner only. `with_text`: bodies of requests are written, too.
  /// `readiness` is told when the file cannot be written, and when it can again.
  /// Errors: kPermissionDenied, if it cannot be written.
  static Result<std::unique_ptr<AuditLog>> open(const std::string& path, bool with_text,
                                                service::Readiness& readiness);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  void write(const http::AuditEntry& entry);
  /// Tries to write what is left. Errors: kUnavailable, if lines are still not written.
  Result<void> check();

 private:
  AuditLog(int file, std::string path, bool with_text, service::Readiness& readiness)
      : file_(file), path_(std::move(path)), with_text_(with_text), readiness_(readiness) {}

  void add_locked(std::string_view line);
  void flush_locked();
  bool write_locked();

  const int file_;
  const std::string path_;
  const bool with_text_;
  service::Readiness& readiness_;
  std::mutex mutex_;
  std::string unwritten_;  // whole lines, but for the first, of which the file may have a part
  uint64_t lost_ = 0;      // lines that there was no room for
  bool failing_ = false;
};

/// Returns an entry's line, with its end. Times are in UTC.
std::string audit_line(const http::AuditEntry& entry, bool with_text, int64_t now_unix_s);

}  // namespace pippin::app
