// AuditLog: a JSON line for each request that has ended, appended to a file of the operator's.
// Owner: serve. Thread: any; its own lock.
#pragma once

#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "http/server.h"

namespace pippin::app {

class AuditLog {
 public:
  /// Opens the file, made for its owner only. `with_text`: bodies of requests are written, too.
  /// Errors: kPermissionDenied, if it cannot be written.
  static Result<std::unique_ptr<AuditLog>> open(const std::string& path, bool with_text);

  void write(const http::AuditEntry& entry);

 private:
  AuditLog(std::ofstream file, bool with_text) : with_text_(with_text), file_(std::move(file)) {}

  const bool with_text_;
  std::mutex mutex_;
  std::ofstream file_;
};

/// Returns an entry's line, with its end. Times are in UTC.
std::string audit_line(const http::AuditEntry& entry, bool with_text, int64_t now_unix_s);

}  // namespace pippin::app
