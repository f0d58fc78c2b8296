#include "http/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace pippin::http {
namespace {

// The statuses that this program sends. Source: RFC 9110 section 15.
constexpr std::pair<int, std::string_view> kReasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {529, "Site Is Overloaded"},  // Anthropic's
};

std::string_view reason(int status) {
  const auto* found = std::ranges::find(kReasons, status, &std::pair<int, std::string_view>::first);
  return found == std::end(kReasons) ? "Status" : found->second;
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back((byte < 0x20 && c != '\t') || byte == 0x7f ? ' ' : c);
  }
  out.append("\r\n");
}

bool has_header(const api::Response& response, std::string_view lower_name) {
  for (const auto& [name, value] : response.headers) {
    if (name.size() != lower_name.size()) continue;
    bool equal = true;
    for (size_t i = 0; i < name.size() && equal; ++i) equal = (name[i] | 0x20) == lower_name[i];
    if (equal) return true;
  }
  return false;
}

std::string http_date(std::time_t now) {
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text.data(), size};
}

void append_cors(std::string& out, std::string_view allow_origin) {
  append_header(out, "Vary", "Origin");
  if (allow_origin.empty()) return;
  append_header(out, "Access-Control-Allow-Origin", allow_origin);
  append_header(out, "Access-Control-Expose-Headers", "x-request-id, request-id");
}

}  // namespace

bool is_event_stream(const api::Response& response) {
  return response.content_type.starts_with("text/event-stream");
}

void append_head(std::string& out, const api::Response& response, const Framing& framing) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", response.status,
                 reason(response.status));
  if (framing.date != 0) append_header(out, "Date", http_date(framing.date));
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!response.content_type.empty() && !bodiless)
    append_header(out, "Content-Type", response.content_type);
  if (framing.chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  } else if (framing.has_length && !bodiless) {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", framing.content_length);
  }
  if (framing.close) {
    out.append("Connection: close\r\n");
  } else if (framing.http10) {
    out.append("Connection: keep-alive\r\n");
  }
  if (is_event_stream(response)) {
    // Proxies must neither keep nor hold back events.
    if (!has_header(response, "cache-control")) out.append("Cache-Control: no-cache\r\n");
    if (!has_header(response, "x-accel-buffering")) out.append("X-Accel-Buffering: no\r\n");
  }
  if (!framing.request_id.empty()) {
    append_header(out, "x-request-id", framing.request_id);
    append_header(out, "request-id", framing.request_id);  // Anthropic's name for it
  }
  append_cors(out, framing.allow_origin);
  for (const auto& [name, value] : framing.limits) append_header(out, name, value);
  for (const auto& [name, value] : response.headers) append_header(out, name, value);
  out.append("\r\n");
}

void append_chunk(std::string& out, std::string_view bytes) {
  CHECK(!bytes.empty());
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", bytes.size());
  out.append(bytes).append("\r\n");
}

}  // namespace pippin::http
