#include "api/routes/case_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "api/routes/json_match.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string expanded(std::string text) {
  constexpr std::string_view kMark = "${repeat:";
  for (size_t at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at)) {
    const size_t count_at = at + kMark.size();
    const size_t colon = text.find(':', count_at), end = text.find('}', count_at);
    const int count = std::stoi(text.substr(count_at, colon - count_at));
    const std::string unit = text.substr(colon + 1, end - colon - 1);
    std::string repeated;
    for (int i = 0; i < count; ++i) repeated += unit;
    text.replace(at, end + 1 - at, repeated);
    at += repeated.size();
  }
  return text;
}

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers read_headers(std::istringstream& words) {
  Headers headers;
  for (std::string header; words >> header;) {
    const size_t equals = header.find('=');
    headers.emplace_back(header.substr(0, equals), header.substr(equals + 1));
  }
  return headers;
}

void read_request_line(const std::string& line, RouteCase& to) {
  std::istringstream words(line.substr(1));
  words >> to.method >> to.path;
  to.request_headers = read_headers(words);
}

void read_answer_line(const std::string& line, RouteCase& to) {
  std::istringstream words(line.substr(1));
  words >> to.status >> to.content_type;
  to.headers = read_headers(words);
}

std::string text_mismatch(const std::string& pattern, const std::string& got) {
  const auto wanted = service::parse_json(pattern);
  if (!wanted.ok())
    return "the case's pattern is not JSON: " + wanted.error().message + "\n" + pattern;
  const auto value = service::parse_json(got);
  if (!value.ok()) return "the answer is not JSON: " + value.error().message + "\n" + got;
  return json_mismatch(*wanted, *value);
}

std::string event_mismatch(const std::string& pattern, const std::string& got) {
  if (pattern == got) return {};
  if (pattern.starts_with('{') && got.starts_with('{')) return text_mismatch(pattern, got);
  if (!pattern.starts_with("data: {") || !got.starts_with("data: {"))
    return "expected " + pattern + ", got " + got;
  return text_mismatch(pattern.substr(6), got.substr(6));
}

// Matches events against patterns, where "..." takes any number.
std::string events_mismatch(const std::vector<std::string>& patterns, size_t p,
                            const std::vector<std::string>& events, size_t e) {
  for (; p < patterns.size(); ++p, ++e) {
    if (patterns[p] == "...") {
      std::string why = "nothing fits what follows ...";
      for (size_t skip = e; skip <= events.size(); ++skip) {
        why = events_mismatch(patterns, p + 1, events, skip);
        if (why.empty()) return {};
      }
      return why;
    }
    if (e >= events.size()) return "the stream ends before: " + patterns[p];
    if (std::string why = event_mismatch(patterns[p], events[e]); !why.empty())
      return "event " + std::to_string(e) + ": " + why;
  }
  return e == events.size() ? "" : "after the expected events comes: " + events[e];
}

}  // namespace

std::vector<RouteCase> read_cases(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<RouteCase> cases;
  enum class Part { kHead, kBody, kAnswer } part = Part::kHead;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with("#")) continue;
    if (line.starts_with("== ")) {
      cases.emplace_back();
      cases.back().title = line.substr(3);
      cases.back().line = number;
      part = Part::kHead;
    } else if (cases.empty()) {
      EXPECT_TRUE(line.empty()) << path << ":" << number << ": a case begins with ==";
    } else if (line.starts_with("> ") && part == Part::kHead) {
      read_request_line(line, cases.back());
      part = Part::kBody;
    } else if (line.starts_with("< ") && part == Part::kBody) {
      read_answer_line(line, cases.back());
      part = Part::kAnswer;
    } else if (part == Part::kBody) {
      cases.back().body += line + "\n";
    } else if (part == Part::kAnswer) {
      cases.back().expected += line + "\n";
    }
  }
  for (RouteCase& route_case : cases) {
    EXPECT_NE(route_case.status, 0) << path << ":" << route_case.line << ": no answer line";
    route_case.body = expanded(std::move(route_case.body));
  }
  return cases;
}

std::string mismatch(const RouteCase& route_case, const Response& got) {
  if (got.status != route_case.status)
    return "status " + std::to_string(got.status) + "\n" + got.body;
  const std::string type = got.content_type.empty() ? "-" : got.content_type;
  if (type != route_case.content_type) return "content type " + type;
  for (const auto& header : route_case.headers) {
    if (std::find(got.headers.begin(), got.headers.end(), header) == got.headers.end())
      return "no header " + header.first;
  }
  if (type == "text/event-stream" || type == "application/x-ndjson") {
    return events_mismatch(lines_of(route_case.expected), 0, lines_of(got.body), 0);
  }
  if (type == "application/json" && !got.body.empty())
    return text_mismatch(route_case.expected, got.body);
  return lines_of(route_case.expected) == lines_of(got.body) ? "" : "body " + got.body;
}

}  // namespace pippin::api::testing
