#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>

#include "http/server.h"

namespace pippin::http {
namespace {

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

std::string_view error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

api::Response openai_error_form(std::string_view, int status, const Error& error) {
  std::string body = R"({"error":{"message":)";
  append_json_string(body, error.message);
  body += R"(,"type":)";
  append_json_string(body, error_type(status));
  body += R"(,"param":)";
  if (error.param.empty()) {
    body += "null";
  } else {
    append_json_string(body, error.param);
  }
  body += R"(,"code":)";
  append_json_string(body, code_name(error.code));
  body += "}}";
  return {status, "application/json", std::move(body), {}};
}

}  // namespace pippin::http
