#include "app/audit_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <ctime>
#include <system_error>

#include "base/log.h"
#include "base/unix_time.h"
#include "service/json.h"

namespace pippin::app {
namespace {

constexpr size_t kUnwrittenMax = size_t{16} << 20;
constexpr const char* kDegraded = "audit_log";

std::string time_text(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time_t{unix_s}));
}

}  // namespace

std::string audit_line(const http::AuditEntry& entry, bool with_text, int64_t now_unix_s) {
  std::string line;
  service::JsonWriter json(line);
  json.begin_object();
  json.field("time", time_text(now_unix_s));
  json.field("request_id", entry.request_id).key("key_id");
  if (entry.key_id.empty()) {
    json.null();
  } else {
    json.string(entry.key_id);
  }
  json.field("peer", entry.peer).field("method", entry.method).field("path", entry.path);
  json.field("status", entry.status).key("ms").number(std::round(10 * entry.ms) / 10);
  json.field("bytes_sent", static_cast<uint64_t>(entry.bytes_sent));
  json.field("prompt_tokens", entry.tokens.prompt_tokens);
  json.field("answer_tokens", entry.tokens.answer_tokens);
  if (with_text) json.field("body", entry.body);
  json.end_object();
  return line + '\n';
}

Result<std::unique_ptr<AuditLog>> AuditLog::open(const std::string& path, bool with_text,
                                                 service::Readiness& readiness) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0)
    return fail(Code::kPermissionDenied, "cannot write the audit log " + path, "--audit-log");
  return std::unique_ptr<AuditLog>(new AuditLog(file, path, with_text, readiness));
}

AuditLog::~AuditLog() {
  {
    const std::lock_guard lock(mutex_);
    flush_locked();
  }
  ::close(file_);
}

void AuditLog::write(const http::AuditEntry& entry) {
  const std::string line = audit_line(entry, with_text_, unix_now_s());
  const std::lock_guard lock(mutex_);
  flush_locked();  // what is left comes first, and makes room
  add_locked(line);
  flush_locked();
}

Result<void> AuditLog::check() {
  const std::lock_guard lock(mutex_);
  flush_locked();
  if (!failing_) return {};
  return fail(Code::kUnavailable,
              "No request is answered now: the audit log cannot be written, and this server "
              "requires it.");
}

// Lines that follow a lost one are lost, too, until a line has told of them: their order holds.
void AuditLog::add_locked(std::string_view line) {
  if (lost_ > 0 || unwritten_.size() + line.size() > kUnwrittenMax) {
    ++lost_;
  } else {
    unwritten_ += line;
  }
}

void AuditLog::flush_locked() {
  bool written = write_locked();
  if (written && lost_ > 0) {
    std::string line;
    service::JsonWriter json(line);
    json.begin_object().field("time", time_text(unix_now_s())).field("lost_lines", lost_);
    json.end_object();
    log::error("[audit] {} lines are lost", lost_);
    lost_ = 0;
    unwritten_ = line + '\n';
    written = write_locked();
  }
  if (written && failing_) {
    failing_ = false;
    log::warn("[audit] {} is written again", path_);
    readiness_.set_works(kDegraded);
  }
}

// Returns whether nothing is left to be written. A file takes a part of a line when its disk
// becomes full: the next call goes on behind it.
bool AuditLog::write_locked() {
  size_t done = 0;
  ssize_t taken = 0;
  while (done < unwritten_.size()) {
    taken = ::write(file_, unwritten_.data() + done, unwritten_.size() - done);
    if (taken < 0 && errno == EINTR) continue;
    if (taken <= 0) break;
    done += static_cast<size_t>(taken);
  }
  const int reason = errno;
  unwritten_.erase(0, done);
  if (unwritten_.empty()) return true;
  if (!failing_) {
    failing_ = true;
    const std::string why = std::generic_category().message(reason);
    log::error("[audit] {} cannot be written: {}; lines are kept, up to {} MiB", path_, why,
               kUnwrittenMax >> 20);
    readiness_.set_degraded(kDegraded, "it cannot be written: " + why);
  }
  return false;
}

}  // namespace pippin::app
