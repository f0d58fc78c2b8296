#include "api/routes/json_match.h"

#include <boost/json/serialize.hpp>
#include <cmath>

namespace pippin::api::testing {
namespace {

std::string differs(const std::string& path, const boost::json::value& pattern,
                    const boost::json::value& got) {
  return path + ": expected " + boost::json::serialize(pattern) + ", got " +
         boost::json::serialize(got);
}

// Returns whether `pattern` is a wildcard, and if so whether `got` fits it.
bool is_wildcard(std::string_view pattern, const boost::json::value& got, bool& fits) {
  if (pattern == "<any>") {
    fits = true;
  } else if (pattern == "<string>") {
    fits = got.is_string();
  } else if (pattern == "<integer>") {
    fits = got.is_int64() || got.is_uint64();
  } else if (pattern == "<number>") {
    fits = got.is_number();
  } else if (pattern.starts_with("<has:") && pattern.ends_with(">")) {
    const std::string_view wanted = pattern.substr(5, pattern.size() - 6);
    fits = got.is_string() &&
           std::string_view(got.get_string()).find(wanted) != std::string_view::npos;
  } else {
    return false;
  }
  return true;
}

std::string object_mismatch(const boost::json::object& pattern, const boost::json::object& got,
                            const std::string& path) {
  for (const auto& [key, value] : pattern) {
    if (key == "...") continue;
    const boost::json::value* member = got.if_contains(key);
    if (member == nullptr) return path + "." + std::string(key) + ": expected, but absent";
    if (std::string why = json_mismatch(value, *member, path + "." + std::string(key));
        !why.empty())
      return why;
  }
  if (pattern.contains("...")) return {};
  for (const auto& [key, value] : got) {
    if (!pattern.contains(key)) return path + "." + std::string(key) + ": not expected, but there";
  }
  return {};
}

}  // namespace

std::string json_mismatch(const boost::json::value& pattern, const boost::json::value& got,
                          const std::string& path) {
  bool fits = false;
  if (pattern.is_string() && is_wildcard(pattern.get_string(), got, fits))
    return fits ? "" : differs(path, pattern, got);
  if (pattern.is_number() && got.is_number()) {
    const bool same = std::abs(pattern.to_number<double>() - got.to_number<double>()) < 1e-6;
    return same ? "" : differs(path, pattern, got);
  }
  if (pattern.is_object() && got.is_object())
    return object_mismatch(pattern.get_object(), got.get_object(), path);
  if (pattern.is_array() && got.is_array()) {
    const auto& wanted = pattern.get_array();
    const auto& items = got.get_array();
    for (size_t i = 0; i < wanted.size() && i < items.size(); ++i) {
      if (std::string why =
              json_mismatch(wanted[i], items[i], path + "[" + std::to_string(i) + "]");
          !why.empty())
        return why;
    }
    return wanted.size() == items.size() ? "" : differs(path, pattern, got);
  }
  return pattern == got ? "" : differs(path, pattern, got);
}

}  // namespace pippin::api::testing
