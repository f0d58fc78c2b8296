#include "app/audit_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <ctime>

#include "base/unix_time.h"
#include "service/json.h"

namespace pippin::app {

std::string audit_line(const http::AuditEntry& entry, bool with_text, int64_t now_unix_s) {
  std::string line;
  service::JsonWriter json(line);
  json.begin_object();
  json.field("time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time_t{now_unix_s})));
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

Result<std::unique_ptr<AuditLog>> AuditLog::open(const std::string& path, bool with_text) {
  const int made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
  std::ofstream file(path, std::ios::app);
  if (made < 0 || !file)
    return fail(Code::kPermissionDenied, "cannot write the audit log " + path, "--audit-log");
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(file), with_text));
}

void AuditLog::write(const http::AuditEntry& entry) {
  const std::string line = audit_line(entry, with_text_, unix_now_s());
  const std::lock_guard lock(mutex_);
  file_ << line << std::flush;
}

}  // namespace pippin::app
