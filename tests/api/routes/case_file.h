// RouteCase: one request and its expected answer, from a .case file:
//
//   # a comment
//   == a title
//   > POST /v1/completions name=value        and the request's headers
//   {"model": "default", ...}                the body, up to the next line that begins with "<"
//   < 200 application/json retry-after=1     status, type, and headers that must be there
//   {"id": "<string>", ...}                  a JSON pattern (json_match.h), or a stream's events,
//   data: {...}                              one a line, where a line
//   ...                                      stands for any number of events
//   data: [DONE]
//
// A stream of lines of JSON has them without "data: ". The type "-" is none; a body that is no JSON
// stands as it is.
// In a body ${repeat:N:TEXT} stands for N times TEXT.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "api/exchange.h"

namespace pippin::api::testing {

struct RouteCase {
  std::string title;
  int line = 0;  // of the title
  std::string method, path, body;
  std::vector<std::pair<std::string, std::string>> request_headers;
  int status = 0;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string expected;  // the lines as they stand
};

/// Reads a file. Failures are reported to GoogleTest.
std::vector<RouteCase> read_cases(const std::string& path);

/// Returns "" if `got` is what the case expects, else why not.
std::string mismatch(const RouteCase& route_case, const Response& got);

}  // namespace pippin::api::testing
