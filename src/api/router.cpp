#include "api/exchange.h"

namespace pippin::api {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> segments;
  size_t at = 0;
  while (at < path.size()) {
    const size_t slash = path.find('/', at);
    const size_t end = slash == std::string_view::npos ? path.size() : slash;
    if (end > at) segments.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

bool is_capture(const std::string& segment) { return segment.size() > 1 && segment.front() == '{'; }
bool is_rest(const std::string& segment) { return is_capture(segment) && segment.ends_with("...}"); }

// Fills `captures` and returns true if the pattern fits.
bool fits(const std::vector<std::string>& pattern, const std::vector<std::string>& path, std::vector<std::string>& captures) {
  captures.clear();
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (i >= path.size()) return false;
    if (is_rest(pattern[i])) {
      std::string rest = path[i];
      for (size_t j = i + 1; j < path.size(); ++j) rest += "/" + path[j];
      captures.push_back(std::move(rest));
      return true;
    }
    if (is_capture(pattern[i])) {
      captures.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return pattern.size() == path.size();
}

}  // namespace

void Router::add(std::string method, std::string pattern, Handler handler) {
  routes_.push_back({std::move(method), split(pattern), std::move(handler)});
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const std::vector<std::string> segments = split(path);
  Match match;
  std::vector<std::string> captures;
  for (const Route& route : routes_) {
    if (!fits(route.segments, segments, captures)) continue;
    if (route.method == method) return Match{&route.handler, std::move(captures), {}};
    match.allow.push_back(route.method);
  }
  return match;
}

}  // namespace pippin::api
