// json_mismatch: compares JSON with a pattern. In the pattern the strings "<any>", "<string>",
// "<integer>", "<number>" stand for any value of the kind, "<has:TEXT>" for a string that holds
// TEXT, and the key "..." says that an object may have further keys.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace pippin::api::testing {

/// Returns "" if `got` fits `pattern`, else the path of the first difference and what is there.
std::string json_mismatch(const boost::json::value& pattern, const boost::json::value& got,
                          const std::string& path = "$");

}  // namespace pippin::api::testing
