#include <algorithm>

#include "api/exchange.h"
#include "base/check.h"

namespace pippin::api {
namespace {

// Empty segments are dropped: "/v1//models/" is "/v1/models", as base URLs with a slash at the end
// produce it.
std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> segments;
  size_t at = 0;
  while (at < path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) segments.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

bool is_capture(std::string_view segment) {
  return segment.starts_with('{') && segment.ends_with('}');
}
bool is_rest(std::string_view segment) { return is_capture(segment) && segment.ends_with("...}"); }

int generality(std::string_view segment) {
  return is_rest(segment) ? 2 : is_capture(segment) ? 1 : 0;
}

// Orders patterns so that the more exact one is tried first, in whatever order they were added.
bool more_exact(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const auto& x, const auto& y) { return generality(x) < generality(y); });
}

// Fills `captures` and returns true if the pattern fits.
bool fits(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
          std::vector<std::string>& captures) {
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

void Router::add(std::string method, std::string pattern, Rule rule, Handler handler) {
  std::vector<std::string> segments = split(pattern);
  for (size_t i = 0; i + 1 < segments.size(); ++i)
    CHECK(!is_rest(segments[i]), "{name...} must be a pattern's last segment");
  for (const Route& route : routes_)
    CHECK(route.method != method || route.segments != segments, "a route was added twice");
  const auto at = std::upper_bound(
      routes_.begin(), routes_.end(), segments,
      [](const auto& added, const Route& route) { return more_exact(added, route.segments); });
  routes_.insert(
      at, {std::move(method), std::move(pattern), std::move(segments), rule, std::move(handler)});
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const std::vector<std::string> segments = split(path);
  Match match;
  std::vector<std::string> captures;
  for (const Route& route : routes_) {
    if (!fits(route.segments, segments, captures)) continue;
    if (route.method == method) return Match{&route.handler, std::move(captures), {}, route.rule};
    if (std::find(match.allow.begin(), match.allow.end(), route.method) == match.allow.end())
      match.allow.push_back(route.method);
  }
  return match;
}

std::vector<Router::Listed> Router::list() const {
  std::vector<Listed> all;
  for (const Route& route : routes_) all.push_back({route.method, route.pattern, route.rule});
  return all;
}

}  // namespace pippin::api
