// ArgumentReader: turns one call's arguments, as a model writes them, into JSON while they come.
// Owner: CallScanner, one for each call. Thread: one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "parse/dialect.h"

namespace pippin::parse {

class ArgumentReader {
 public:
  enum class Status { kMore, kDone, kBroken };

  virtual ~ArgumentReader() = default;

  /// Takes bytes from the front of `in`, tells how many, and appends JSON to `out`. What it leaves
  /// must come again, with more behind it. kDone: the arguments have ended, and the rest of `in` is
  /// not theirs. kBroken: the next byte cannot belong to them. Requires: no call after these two.
  virtual Status read(std::string_view in, bool last, size_t& consumed, std::string& out) = 0;

  /// After kBroken: if only closing brackets are missing, appends them and returns true.
  virtual bool close(std::string& out) = 0;
};

/// A JSON object that stands in a JSON string: "{\"k\": 1}". Reads on from behind the first quote.
std::unique_ptr<ArgumentReader> quoted_reader();
/// Python's keyword arguments, from behind the opening parenthesis through the closing one.
std::unique_ptr<ArgumentReader> keyword_reader();
/// Tagged arguments, up to one of tags.ends. `tool` guides the types and may be null.
std::unique_ptr<ArgumentReader> tagged_reader(const Tags& tags, const ToolSpec* tool);
/// The same for tags.nested.
std::unique_ptr<ArgumentReader> nested_reader(const Tags& tags, const ToolSpec* tool);

}  // namespace pippin::parse
