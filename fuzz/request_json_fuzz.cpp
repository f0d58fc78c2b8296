// Any body to any route of any API: an answer comes, in JSON or as a stream, with a status that is
// the client's fault or success, and the engine is idle again. The first line names method and
// path; one that no route has chooses a route of the table, so that new ones are found.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "api/routes/harness.h"
#include "base/log.h"
#include "target.h"

namespace {

using pippin::api::Response;
using pippin::api::testing::Harness;

struct Target {
  std::string method, path;  // the path with its query
};

[[noreturn]] void wrong(const Target& target, const char* what, const Response& got) {
  std::fprintf(stderr, "%s %s: %s: %d %s\n%s\n", target.method.c_str(), target.path.c_str(), what,
               got.status, got.content_type.c_str(), got.body.substr(0, 2000).c_str());
  std::abort();
}

Harness& harness() {
  static Harness& made = []() -> Harness& {
    spdlog::set_level(spdlog::level::off);
    testing::FLAGS_gtest_break_on_failure = true;
    auto* running = new Harness({.infill = true});  // lives as long as the process
    running->release();
    return *running;
  }();
  return made;
}

/// A pattern's path: "word" for each {...}.
std::string path_of(std::string_view pattern, std::string_view word) {
  std::string path;
  while (!pattern.empty()) {
    const size_t open = std::min(pattern.find('{'), pattern.size());
    path += pattern.substr(0, open);
    pattern.remove_prefix(open);
    if (pattern.empty()) break;
    path += word;
    pattern.remove_prefix(std::min(pattern.find('}'), pattern.size() - 1) + 1);
  }
  return path;
}

Target target_of(std::string_view line) {
  const size_t space = std::min(line.find(' '), line.size());
  Target named{std::string(line.substr(0, space)),
               std::string(line.substr(std::min(space + 1, line.size())))};
  const auto& router = harness().router();
  const std::string path = named.path.substr(0, named.path.find('?'));
  if (router.find(named.method, path).handler != nullptr) return named;
  static const auto routes = router.list();
  const auto& route = routes[std::hash<std::string_view>()(line) % routes.size()];
  return {route.method, path_of(route.pattern, named.path.empty() ? "x" : named.path)};
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  // "oom" and "fail" are the harness's own faults, not a request's.
  if (input.find("<oom") != std::string_view::npos) return;
  if (input.find("<fail") != std::string_view::npos) return;
  const size_t line_end = std::min(input.find('\n'), input.size());
  const Target target = target_of(input.substr(0, line_end));
  const std::string_view body = input.substr(std::min(line_end + 1, input.size()));
  const Response got = harness().call(target.method, target.path, std::string(body));
  // 500 is a fault of ours; 501 and 503 say what this server cannot do, or not now.
  const bool expected =
      (got.status >= 200 && got.status < 500) || got.status == 501 || got.status == 503;
  if (!expected) wrong(target, "a status of no request's fault", got);
  if (got.content_type == "application/json" && !got.body.empty()) {
    boost::system::error_code error;
    boost::json::parse(got.body, error);
    if (error) wrong(target, "no JSON", got);
  }
  if (!harness().wait_until_idle()) wrong(target, "the engine holds blocks", got);
}
