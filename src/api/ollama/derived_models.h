// DerivedModels: the models that clients have made of others by create and copy: a name, a base and
// what is set on top of it. Each is a small JSON file in a folder, which other processes may
// change. Thread: any.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::api::ollama {

struct DerivedModel {
  std::string name;  // with its tag
  std::string from;  // the served model below; never another made one
  std::string system;
  std::string template_text;       // in Go's template language; empty: the base's own
  std::string license;             // empty: the base's own
  boost::json::object parameters;  // as "options" in requests
  boost::json::array messages;     // [{"role", "content"}, ..]: the beginning of every chat
  int64_t modified_unix_s = 0;
};

class DerivedModels {
 public:
  /// An empty folder: nothing can be kept.
  explicit DerivedModels(std::string folder) : folder_(std::move(folder)) {}

  /// Returns all, by name. What cannot be read is left out.
  std::vector<DerivedModel> list() const;
  /// Returns the model of a name, with or without its tag.
  std::optional<DerivedModel> find(std::string_view name) const;
  /// Adds or replaces. Errors: kInvalidArgument for a name that cannot be one; kUnavailable if
  /// there is no folder, or it cannot be written; kTooLarge for more models than a person makes.
  Result<void> keep(const DerivedModel& model) const;
  /// Returns whether there was one. Errors: kUnavailable.
  Result<bool> remove(std::string_view name) const;

 private:
  std::string path_of(std::string_view name) const;

  std::string folder_;
};

}  // namespace pippin::api::ollama
